#include "runtime/train/run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "core/log.h"
#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/checkpoint/output_lock.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/trainer_log.h"
#include "runtime/optim/lr_schedule.h"
#include "runtime/report/run_report.h"
#include "runtime/train/checkpointing.h"
#include "runtime/train/figures.h"
#include "runtime/train/numbers_guard.h"
#include "runtime/train/output.h"
#include "runtime/train/resume.h"
#include "runtime/train/run_profile.h"

namespace athanor {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

LrOptions lr_options(const RunConfig& config, int64_t total_steps) {
  LrOptions options;
  options.learning_rate = config.learning_rate;
  options.total_steps = total_steps;
  options.warmup_steps = config.warmup_steps.value_or(static_cast<int64_t>(
      std::ceil(static_cast<double>(total_steps) * config.warmup_ratio.value_or(0.0))));
  switch (config.lr_scheduler_type) {
    case LrSchedulerOption::kConstant:
    case LrSchedulerOption::kConstantWithWarmup:
      options.schedule = LrSchedule::kConstant;
      break;
    case LrSchedulerOption::kLinear:
      options.schedule = LrSchedule::kLinear;
      break;
    case LrSchedulerOption::kCosine:
      options.schedule = LrSchedule::kCosine;
      break;
  }
  return options;
}

Stream& stream(Stream& any) { return any; }

// The state of one rank's run.
class Run {
 public:
  Run(const ResolvedRun& run, const RunData& data, Communicator& communicator, CpuDevice& device,
      Allocator& memory, const RunObservers& observers, RunProfile* profile)
      : run_(run),
        config_(run.config),
        data_(data),
        communicator_(communicator),
        device_(device),
        memory_(memory),
        observers_(observers),
        steps_(count_steps(run.config, run.batch, data.train)),
        lr_(lr_options(run.config, steps_.total)),
        trainer_(run.spec, run.trainer,
                 {memory, profile != nullptr ? profile->compute : stream(device.compute),
                  profile != nullptr ? profile->communication : stream(device.communication),
                  communicator, profile != nullptr ? &profile->storage : &stream(device.storage)}),
        guard_(data.train, data.report),
        profile_(profile),
        checkpoints_(run, data, trainer_, communicator, device.communication, observers.activity) {
    trainer_.observe(observers.activity);
    communicator.observe(observers.activity);
  }

  RunOutcome go(const std::atomic<int>& stop) {
    enter(observers_.activity, Section::kLoading);
    load();
    start_watch();
    RunOutcome outcome;
    outcome.steps = first_step_;
    for (int64_t step = first_step_; step < steps_.total && !outcome.stopped; ++step) {
      outcome.last_loss = one_step(step);
      if (profile_ != nullptr && step == first_step_ && steps_.total > 1) profile_->clear();
      outcome.steps = step + 1;
      if (step + 1 == steps_.total) break;
      evaluate_if_due(step);
      outcome.stopped = checkpoints_.step_end(step + 1, stop, [&] { return state(step); });
    }
    enter(observers_.activity, Section::kSave);
    const int64_t last = outcome.steps - 1;
    if (!outcome.stopped && first_step_ < steps_.total) evaluate(last);
    if (!outcome.stopped) checkpoints_.finish(outcome.steps, [&] { return state(last); });
    save(last);
    outcome.seconds = seconds_since(start_);
    enter(observers_.activity, Section::kEnding);
    return outcome;
  }

 private:
  bool leads() const { return communicator_.rank() == 0; }
  double epoch(int64_t step) const {
    return static_cast<double>(step + 1) / static_cast<double>(steps_.per_epoch);
  }

  void load() {
    if (leads()) take_folder();
    RunWeights weights(run_);
    const auto checkpoint = choose_checkpoint(run_, data_, communicator_, device_.communication);
    if (checkpoint) {
      CheckpointParamSource source(*checkpoint, weights.source());
      trainer_.load(&source);
      trainer_.load_moments(*checkpoint, checkpoint->manifest().progress.updates);
      restore(*checkpoint);
    } else {
      trainer_.load(&weights.source());
      start_ = Clock::now();
    }
    if (!leads()) return;
    log_tiers();
    const std::filesystem::path output = config_.output_dir;
    const bool in_place = resumes_in_place(config_);
    if (!in_place) remove_all_checkpoints(output);  // of a run that is overwritten
    if (in_place && checkpoint) {
      TrainerLog::cut(output / "trainer_log.jsonl", first_step_);
      for (const auto& aside : set_newer_aside(output, first_step_)) {
        log_warning("newer than the checkpoint that the run goes on from, now " + aside.string());
      }
    }
    report_.emplace(report_options(in_place && checkpoint ? TrainerLog::Mode::kAppend
                                                          : TrainerLog::Mode::kTruncate));
    report_->recall(history_);
    write_file_atomic(output / "training_args.yaml", to_yaml(config_));
  }

  void start_watch() {
    Activity* const activity = observers_.activity;
    if (activity == nullptr) return;
    activity->total_steps = steps_.total;
    activity->step = first_step_;
  }

  void tell_watch(int64_t step, double rate, double loss, double tokens_per_second) {
    Activity* const activity = observers_.activity;
    if (activity == nullptr) return;
    activity->loss = loss;
    activity->learning_rate = rate;
    activity->tokens_per_second = tokens_per_second;
    activity->step = step + 1;
  }

  void take_folder() {
    std::error_code failed;
    std::filesystem::create_directories(config_.output_dir, failed);
    if (failed) {
      throw Error(ErrorKind::kIo,
                  "output_dir: cannot create " + config_.output_dir + ": " + failed.message());
    }
    lock_.emplace(config_.output_dir);
    remove_leftovers(config_.output_dir);
  }

  void restore(const CheckpointReader& checkpoint) {
    const RunProgress& progress = checkpoint.manifest().progress;
    first_step_ = progress.step;
    checkpoints_.resumed_from(first_step_, checkpoint.folder());
    start_ = Clock::now() - std::chrono::duration_cast<Clock::duration>(
                                std::chrono::duration<double>(progress.elapsed_seconds));
    total_tokens_ = progress.total_tokens;
    interval_steps_ = progress.interval_steps;
    interval_skips_ = progress.interval_skips;
    interval_tokens_ = progress.interval_tokens;
    interval_loss_ = progress.interval_loss;
    interval_seconds_ = progress.interval_seconds;
    if (leads()) history_ = read_trainer_history(checkpoint.folder() / "trainer_state.json");
  }

  RunState state(int64_t step) const {
    RunState state;
    state.progress = {step + 1,        total_tokens_,     seconds_since(start_),
                      interval_steps_, interval_skips_,   interval_tokens_,
                      interval_loss_,  interval_seconds_, trainer_.updates()};
    if (leads()) state.trainer_state = trainer_state_json(trainer_state(step));
    for (const TrainerStateEntry& entry : history_) {
      if (entry.eval_loss) state.evaluations.emplace_back(entry.step, *entry.eval_loss);
    }
    return state;
  }

  ReportOptions report_options(TrainerLog::Mode mode) const {
    ReportOptions options;
    options.mode = mode;
    options.folder = config_.output_dir;
    options.planned_bytes = observers_.planned_bytes;
    options.card.title =
        std::filesystem::absolute(options.folder).lexically_normal().filename().string();
    options.card.base_model = config_.model_name_or_path;
    options.card.adapter = run_.spec.lora.has_value();
    options.card.datasets = config_.dataset;
    options.card.settings = to_yaml(config_);
    return options;
  }

  void log_tiers() const {
    const ZeroConfig& zero = config_.zero;
    for (const auto& [key, option] :
         {std::pair("zero.offload_param", zero.offload_param),
          std::pair("zero.offload_gradients", zero.offload_gradients),
          std::pair("zero.offload_optimizer", zero.offload_optimizer),
          std::pair("zero.offload_activations", zero.offload_activations)}) {
      if (option != OffloadOption::kCpu) continue;
      log_info(std::string(key) + ": cpu: this device computes in host memory, nothing moves");
    }
    const std::string how = trainer_.disk().how();
    if (how.empty()) return;
    log_info("disk tier: " + binary_bytes(trainer_.disk().reserved_bytes()) + " in " +
             zero.nvme_path + " (" + how + ")");
  }

  double one_step(int64_t step) {
    const auto begin = Clock::now();
    enter(observers_.activity, Section::kData);
    const int64_t in_epoch = step % steps_.per_epoch;
    const int64_t first = in_epoch * run_.batch.micro_batches;
    const int64_t count =
        std::min(run_.batch.micro_batches, data_.train.micro_batches_per_epoch() - first);
    const LanePlan plan = trainer_.lane_plan(count);
    const StepBatch batch =
        make_step_batch(data_.train, plan, communicator_.rank(), step / steps_.per_epoch, first);
    const double rate = learning_rate_at(lr_, step);
    const StepResult result = trainer_.train_step(batch, step, rate);
    guard_.observe(result, {step, step / steps_.per_epoch, first, plan, batch}, communicator_,
                   device_.communication);
    int64_t tokens = 0;
    for (const HostMicroBatch& slot : batch.slots) {
      tokens += static_cast<int64_t>(slot.data.input_ids.size());
    }
    tokens = communicator_.sum_host(tokens, device_.communication);
    total_tokens_ += tokens;
    interval_tokens_ += tokens;
    if (!result.skipped) interval_loss_ += result.loss;
    if (result.skipped) ++interval_skips_;
    ++interval_steps_;
    const double seconds = seconds_since(begin);
    interval_seconds_ += seconds;
    tell_watch(step, rate, result.loss, static_cast<double>(tokens) / seconds);
    if (report_) report_->progress(line_of(step, rate, result), memory_.stats().current_bytes);
    const bool due = (step + 1) % config_.logging_steps == 0 || step + 1 == steps_.total;
    if (due) report(step, rate, result);
    return result.loss;
  }

  // Of the steps since the last line.
  TrainerLogLine line_of(int64_t step, double rate, const StepResult& result) const {
    TrainerLogLine line;
    line.current_steps = step + 1;
    line.total_steps = steps_.total;
    // Of the steps that counted; not a number, written as null, when there was none.
    line.loss = interval_loss_ / static_cast<double>(interval_steps_ - interval_skips_);
    line.lr = rate;
    line.epoch = epoch(step);
    line.elapsed_seconds = seconds_since(start_);
    line.remaining_seconds = line.elapsed_seconds / static_cast<double>(step + 1) *
                             static_cast<double>(steps_.total - step - 1);
    line.throughput = static_cast<double>(interval_tokens_) / interval_seconds_;
    line.total_tokens = total_tokens_;
    line.grad_norm = result.grad_norm;
    line.step_ms = interval_seconds_ * 1e3 / static_cast<double>(interval_steps_);
    return line;
  }

  void report(int64_t step, double rate, const StepResult& result) {
    if (report_) {
      const TrainerLogLine line = line_of(step, rate, result);
      report_->log(line);
      TrainerStateEntry entry;
      entry.step = step + 1;
      entry.epoch = epoch(step);
      entry.loss = line.loss;
      entry.grad_norm = result.grad_norm;
      entry.learning_rate = rate;
      history_.push_back(entry);
    }
    interval_tokens_ = 0;
    interval_loss_ = 0;
    interval_steps_ = 0;
    interval_skips_ = 0;
    interval_seconds_ = 0;
  }

  void evaluate_if_due(int64_t step) {
    if (config_.eval_steps && (step + 1) % *config_.eval_steps == 0) evaluate(step);
  }

  // Mean loss over the evaluation share, in batches as large as a step's.
  void evaluate(int64_t step) {
    if (!data_.eval) return;
    double loss = 0;
    int64_t targets = 0;
    const int64_t total = data_.eval->micro_batches_per_epoch();
    for (int64_t first = 0; first < total; first += run_.batch.micro_batches) {
      const LanePlan plan = trainer_.lane_plan(std::min(run_.batch.micro_batches, total - first));
      const StepBatch batch = make_step_batch(*data_.eval, plan, communicator_.rank(), 0, first);
      loss += trainer_.evaluate(batch);
      targets += batch.target_tokens;
    }
    loss /= static_cast<double>(targets);
    if (!report_) return;
    TrainerLogLine line;
    line.current_steps = step + 1;
    line.total_steps = steps_.total;
    line.eval_loss = loss;
    line.epoch = epoch(step);
    line.elapsed_seconds = seconds_since(start_);
    report_->log(line);
    TrainerStateEntry entry;
    entry.step = step + 1;
    entry.epoch = epoch(step);
    entry.eval_loss = loss;
    history_.push_back(entry);
  }

  void save(int64_t step) {
    save_weights(trainer_, run_, leads());
    if (!leads()) return;
    write_trainer_state(std::filesystem::path(config_.output_dir) / "trainer_state.json",
                        trainer_state(step));
    report_->saved(step + 1, total_tokens_);
  }

  TrainerState trainer_state(int64_t step) const {
    TrainerState state;
    state.global_step = step + 1;
    state.max_steps = steps_.total;
    state.epoch = epoch(step);
    state.num_train_epochs = (steps_.total + steps_.per_epoch - 1) / steps_.per_epoch;
    state.logging_steps = config_.logging_steps;
    state.eval_steps = config_.eval_steps.value_or(0);
    state.save_steps = config_.save_steps;
    state.train_batch_size = config_.per_device_train_batch_size;
    state.num_input_tokens_seen = total_tokens_;
    state.log_history = history_;
    return state;
  }

  const ResolvedRun& run_;
  const RunConfig& config_;
  const RunData& data_;
  Communicator& communicator_;
  CpuDevice& device_;
  Allocator& memory_;
  const RunObservers& observers_;
  RunSteps steps_;
  LrOptions lr_;
  Trainer trainer_;
  NumbersGuard guard_;
  RunProfile* profile_;
  std::optional<RunReport> report_;  // rank 0 only
  Checkpointing checkpoints_;
  std::optional<OutputLock> lock_;  // rank 0 only
  int64_t first_step_ = 0;
  std::vector<TrainerStateEntry> history_;
  Clock::time_point start_ = Clock::now();
  int64_t total_tokens_ = 0;
  int64_t interval_tokens_ = 0;
  int64_t interval_steps_ = 0;
  int64_t interval_skips_ = 0;
  double interval_loss_ = 0;
  double interval_seconds_ = 0;
};

}  // namespace

RunOutcome run_training(const ResolvedRun& run, const RunData& data, Communicator& communicator,
                        CpuDevice& device, Allocator& memory, const std::atomic<int>& stop,
                        const RunObservers& observers) {
  std::optional<RunProfile> streams;
  if (observers.profile != nullptr) streams.emplace(device);
  Run rank(run, data, communicator, device, memory, observers, streams ? &*streams : nullptr);
  RunOutcome outcome = rank.go(stop);
  outcome.device = memory.stats();
  if (streams) *observers.profile = streams->timeline();
  return outcome;
}

}  // namespace athanor

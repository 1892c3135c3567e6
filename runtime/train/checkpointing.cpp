#include "runtime/train/checkpointing.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <limits>
#include <system_error>
#include <utility>

#include "core/cores.h"
#include "core/log.h"
#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/checkpoint/content_hash.h"
#include "runtime/checkpoint/hashed_file.h"
#include "runtime/train/resume.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

// How often the ranks ask one another whether a pause is over.
constexpr std::chrono::milliseconds kPauseLook{50};

// What rank 0 must know of the others' shards.
struct ShardReport {
  int32_t failed = 0;
  std::array<char, kContentHashDigits> hash = {};
  int64_t bytes = 0;
};

}  // namespace

struct Checkpointing::Vote {
  int32_t stop = 0;
  int32_t save = 0;
  int32_t pause = 0;
  int32_t writing = 0;
};

Checkpointing::Checkpointing(const ResolvedRun& run, const RunData& data, Trainer& trainer,
                             Communicator& communicator, Stream& stream, Activity* activity)
    : run_(run),
      data_(data),
      communicator_(communicator),
      stream_(stream),
      activity_(activity),
      shard_(trainer.state_shard()),
      table_(trainer.partition()),
      output_(run.config.output_dir),
      steps_per_epoch_(count_steps(run.config, run.batch, data.train).per_epoch) {}

Checkpointing::~Checkpointing() {
  if (writer_.joinable()) writer_.join();
}

void Checkpointing::resumed_from(int64_t step, const fs::path& folder) {
  std::error_code failed;
  if (fs::equivalent(folder, checkpoint_path(output_, step), failed)) last_saved_ = step;
}

bool Checkpointing::asked_by_file(const char* name) const {
  std::error_code failed;
  return leads() && fs::exists(output_ / name, failed);
}

void Checkpointing::obeyed(const char* name) const {
  std::error_code failed;
  if (leads()) fs::remove(output_ / name, failed);
}

// Collective: what any rank wants.
Checkpointing::Vote Checkpointing::vote(const std::atomic<int>& stop) {
  Vote own;
  own.stop = stop.load() != 0 || asked_by_file(kStopFile) ? 1 : 0;
  own.save = asked_by_file(kSaveFile) ? 1 : 0;
  own.pause = activity_ != nullptr && activity_->pause.load() ? 1 : 0;
  own.writing = pending_ && !written_ ? 1 : 0;
  std::vector<Vote> votes(static_cast<size_t>(communicator_.world_size()));
  communicator_.all_gather_host(std::as_writable_bytes(std::span(votes)),
                                std::as_bytes(std::span(&own, 1)), stream_);
  Vote any;
  for (const Vote& vote : votes) {
    any.stop = std::max(any.stop, vote.stop);
    any.save = std::max(any.save, vote.save);
    any.pause = std::max(any.pause, vote.pause);
    any.writing = std::max(any.writing, vote.writing);
  }
  return any;
}

bool Checkpointing::step_end(int64_t done, const std::atomic<int>& stop, const State& state) {
  const int64_t every = run_.config.save_steps;
  Vote any = vote(stop);
  bool stopped = obey(any, done, every > 0 && done % every == 0, state);
  while (!stopped && any.pause != 0) {
    enter(activity_, Section::kPaused);
    std::this_thread::sleep_for(kPauseLook);
    any = vote(stop);
    stopped = obey(any, done, false, state);
  }
  return stopped;
}

bool Checkpointing::obey(const Vote& any, int64_t done, bool due, const State& state) {
  if (pending_ && any.writing == 0) conclude();
  if (any.stop != 0) {
    if (!save(state, false)) {
      throw Error(ErrorKind::kIo, "stopped after step " + std::to_string(done) +
                                      ", but its checkpoint could not be saved");
    }
    obeyed(kStopFile);
    obeyed(kSaveFile);
    return true;
  }
  if (any.save != 0 || due) save(state, true);
  if (any.save != 0) obeyed(kSaveFile);
  return false;
}

void Checkpointing::finish(int64_t done, const State& state) {
  if (pending_) conclude();
  if (run_.config.save_steps > 0 && done != last_saved_) save(state, false);
}

// False when it is known to have failed. In the background that is known later.
bool Checkpointing::save(const State& state, bool background) {
  enter(activity_, Section::kSave);
  if (pending_) conclude();
  pending_.emplace();
  pending_->state = state();
  if (pending_->state.progress.step == last_saved_) {
    pending_.reset();
    return true;
  }
  written_ = false;
  if (shard_.keeps_copy()) shard_.capture();
  if (background && shard_.keeps_copy()) {
    writer_ = std::thread([this] {
      float_this_thread();
      write();
    });
    return true;
  }
  write();
  return conclude();
}

// This rank's files; any thread. What goes wrong is for all ranks to learn.
void Checkpointing::write() {
  try {
    const fs::path folder = staging_path(output_, pending_->state.progress.step);
    fs::create_directories(folder);
    pending_->shard = shard_.write(folder);
    if (leads()) {
      pending_->others.push_back(
          write_hashed_file(folder / "trainer_state.json", pending_->state.trainer_state));
      if (data_digest_.empty()) {
        data_digest_ = data_digest(data_.train);
        base_files_ = base_model_files(run_);
      }
    }
  } catch (const std::exception& error) {
    pending_->problem = error.what();
  }
  written_ = true;
}

// All ranks' shards by rank, and whether any rank failed.
std::vector<FileRecord> Checkpointing::gather_shards(bool& failed) {
  ShardReport own;
  own.failed = pending_->problem.empty() ? 0 : 1;
  own.bytes = pending_->shard.bytes;
  std::memcpy(own.hash.data(), pending_->shard.hash.data(),
              std::min(own.hash.size(), pending_->shard.hash.size()));
  std::vector<ShardReport> reports(static_cast<size_t>(communicator_.world_size()));
  communicator_.all_gather_host(std::as_writable_bytes(std::span(reports)),
                                std::as_bytes(std::span(&own, 1)), stream_);
  std::vector<FileRecord> shards;
  for (size_t rank = 0; rank < reports.size(); ++rank) {
    failed = failed || reports[rank].failed != 0;
    shards.push_back({shard_file_name(static_cast<int>(rank), communicator_.world_size()),
                      reports[rank].bytes,
                      std::string(reports[rank].hash.data(), reports[rank].hash.size())});
  }
  return shards;
}

Manifest Checkpointing::manifest() const {
  Manifest manifest;
  const RunProgress& progress = pending_->state.progress;
  manifest.program_version = ATHANOR_VERSION;
  manifest.progress = progress;
  manifest.data = {progress.step / steps_per_epoch_,
                   progress.step % steps_per_epoch_ * run_.batch.micro_batches,
                   data_.train.micro_batches_per_epoch(), data_digest_};
  manifest.numerics = {run_.config.seed, static_cast<int>(run_.batch.lanes),
                       run_.trainer.reduce == ReduceMode::kMicroStep ? "micro_step" : "step",
                       run_.batch.micro_batches, run_.batch.rows_per_micro_batch};
  manifest.world_size = communicator_.world_size();
  manifest.zero_stage = run_.trainer.zero_stage;
  manifest.config = to_yaml(run_.config);
  manifest.states = state_names(run_.trainer.optimizer.moments());
  manifest.tensors = tensor_layout(run_.spec.units, table_);
  manifest.base_files = base_files_;
  return manifest;
}

// Rank 0, when all shards are on disk: the manifest last, then the name.
void Checkpointing::complete(const std::vector<FileRecord>& shards) {
  const int64_t step = pending_->state.progress.step;
  const fs::path folder = staging_path(output_, step);
  Manifest manifest = this->manifest();
  manifest.files = shards;
  for (const FileRecord& shard : shards) {
    std::error_code failed;
    if (fs::file_size(folder / shard.name, failed) == static_cast<uint64_t>(shard.bytes)) continue;
    throw Error(ErrorKind::kIo, (folder / shard.name).string() +
                                    ": not here; output_dir must be one folder for all ranks");
  }
  manifest.files.insert(manifest.files.end(), pending_->others.begin(), pending_->others.end());
  manifest.files.push_back(write_hashed_file(folder / kManifestJsonFile, manifest_json(manifest)));
  write_hashed_file(folder / kManifestFile, manifest_bytes(manifest));
  publish_checkpoint(output_, step);
}

// Waits for this rank's writer and learns of the others'. False when the save has failed.
bool Checkpointing::conclude() {
  enter(activity_, Section::kSave);
  if (writer_.joinable()) writer_.join();
  bool failed = false;
  const std::vector<FileRecord> shards = gather_shards(failed);
  const int64_t step = pending_->state.progress.step;
  if (!failed && leads()) {
    try {
      complete(shards);
    } catch (const std::exception& error) {
      pending_->problem = error.what();
    }
  }
  failed = communicator_.max_host(failed || !pending_->problem.empty() ? 1 : 0, stream_) != 0;
  if (!pending_->problem.empty()) log_warning(pending_->problem);
  const auto evaluations = std::move(pending_->state.evaluations);
  pending_.reset();
  if (failed) {
    count_failure(step);
    return false;
  }
  failures_ = 0;
  last_saved_ = step;
  if (!leads()) return true;
  log_info("saved " + checkpoint_path(output_, step).string());
  prune(evaluations);
  return true;
}

// The checkpoint of the step with the lowest evaluation loss stays.
void Checkpointing::prune(const std::vector<std::pair<int64_t, double>>& evaluations) const {
  if (!run_.config.save_total_limit) return;
  try {
    std::optional<int64_t> best;
    double lowest = std::numeric_limits<double>::infinity();
    for (const auto& [step, loss] : evaluations) {
      if (loss >= lowest || !fs::exists(checkpoint_path(output_, step))) continue;
      best = step;
      lowest = loss;
    }
    prune_checkpoints(output_, *run_.config.save_total_limit, false, best);
  } catch (const std::exception& error) {
    log_warning(std::string("save_total_limit: ") + error.what());
  }
}

void Checkpointing::count_failure(int64_t step) {
  ++failures_;
  std::error_code ignored;
  if (leads()) {
    fs::remove_all(staging_path(output_, step), ignored);  // its space may be what is missing
    log_warning("CHECKPOINT NOT SAVED after step " + std::to_string(step) + ": failure " +
                std::to_string(failures_) + " of " + std::to_string(kMaxFailures) +
                " in a row that end the run");
  }
  if (failures_ < kMaxFailures) return;
  throw Error(ErrorKind::kIo, std::to_string(kMaxFailures) + " checkpoints in a row could not be " +
                                  "saved, the last one after step " + std::to_string(step));
}

}  // namespace athanor

// The data of a run and its cut into steps.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

#include "core/error.h"
#include "runtime/data/data_inputs.h"
#include "runtime/train/data_cache.h"
#include "runtime/train/run.h"

namespace athanor {

namespace {

DataOptions data_options(const RunConfig& config) {
  DataOptions options;
  options.stage = config.stage == StageOption::kPt ? Stage::kPt : Stage::kSft;
  options.datasets = config.dataset;
  options.dataset_dir = config.dataset_dir;
  options.template_name = config.template_name;
  options.model_dir = config.model_name_or_path;
  options.cutoff_len = config.cutoff_len;
  options.packing = config.packing;
  options.train_on_prompt = config.train_on_prompt;
  options.mask_history = config.mask_history;
  options.max_samples = config.max_samples.value_or(0);
  options.val_size = config.val_size;
  options.mix = config.mix_strategy == MixOption::kConcat            ? Mix::kConcat
                : config.mix_strategy == MixOption::kInterleaveUnder ? Mix::kInterleaveUnder
                                                                     : Mix::kInterleaveOver;
  for (const std::string& text : config.interleave_probs) {
    char* end = nullptr;
    options.interleave_probs.push_back(std::strtod(text.c_str(), &end));
    if (end == text.c_str() || *end != '\0') {
      throw Error(ErrorKind::kConfig, "interleave_probs: found " + text + ", needed a number");
    }
  }
  options.skip_bad = config.skip_bad;
  options.seed = static_cast<uint64_t>(config.seed);
  options.date = config.template_date;
  return options;
}

DataCache cache_of(const RunConfig& config, const std::filesystem::path& auto_cache) {
  DataCache cache;
  if (config.data_cache == "auto") {
    cache.folder = auto_cache;
  } else if (config.data_cache != "none") {
    cache.folder = config.data_cache;
  }
  cache.rebuild = config.overwrite_cache;
  return cache;
}

int workers_of(const RunConfig& config) {
  const int64_t cores = std::max(1u, std::thread::hardware_concurrency());
  return narrow<int>(config.preprocessing_num_workers.value_or(config.threads.value_or(cores)));
}

}  // namespace

void fix_template_date(RunConfig& config) {
  if (config.template_date.empty() && template_uses_date(data_options(config))) {
    config.template_date = today();
  }
}

RunData load_run_data(const ResolvedRun& run, const std::filesystem::path& auto_cache) {
  const RunConfig& config = run.config;
  DataOptions options = data_options(config);
  if (options.date.empty()) options.date = today();
  PreparedData loaded = prepare_data(options, run.spec.config.vocab_size,
                                     cache_of(config, auto_cache), workers_of(config));
  if (loaded.train.size() == 0) {
    throw Error(ErrorKind::kBadInput,
                "dataset: no sample with a token to learn (" +
                    std::to_string(loaded.report.records) + " records read, " +
                    std::to_string(loaded.report.skipped_without_target) + " without target)");
  }
  BatchOptions batch;
  batch.rows_per_micro_batch = config.per_device_train_batch_size;
  batch.cutoff_len = config.cutoff_len;
  batch.packing = config.packing;
  batch.group_by_length = config.group_by_length;
  batch.seed = static_cast<uint64_t>(config.seed);
  RunData data{BatchSource(std::move(loaded.train), batch), std::nullopt, std::move(loaded.report),
               std::move(loaded.cache)};
  if (loaded.eval.size() > 0) {
    batch.shuffle = false;
    data.eval.emplace(std::move(loaded.eval), batch);
  }
  return data;
}

RunSteps count_steps(const RunConfig& config, const BatchPlan& batch, const BatchSource& data) {
  RunSteps steps;
  steps.per_epoch =
      (data.micro_batches_per_epoch() + batch.micro_batches - 1) / batch.micro_batches;
  steps.total = config.max_steps.value_or(std::max<int64_t>(
      1, static_cast<int64_t>(
             std::ceil(config.num_train_epochs * static_cast<double>(steps.per_epoch)))));
  return steps;
}

StepBatch make_step_batch(const BatchSource& data, const LanePlan& plan, int rank, int64_t epoch,
                          int64_t first_micro_batch) {
  StepBatch batch;
  batch.micro_batches = plan.micro_batches;
  for (int64_t i = 0; i < plan.micro_batches; ++i) {
    batch.target_tokens += data.target_tokens(epoch, first_micro_batch + i);
  }
  batch.slots.resize(static_cast<size_t>(plan.slots()));
  for (int64_t slot = 0; slot < plan.slots(); ++slot) {
    const int64_t index = plan.micro_batch(rank, slot);
    if (index == kAbsent) continue;
    batch.slots[static_cast<size_t>(slot)] =
        prepare_micro_batch(data.micro_batch(epoch, first_micro_batch + index));
  }
  return batch;
}

}  // namespace athanor

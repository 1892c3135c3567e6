// A training run of one rank: data, steps, evaluation, logs, saving, stopping.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>

#include "core/activity.h"
#include "core/buffer.h"
#include "runtime/data/batch.h"
#include "runtime/data/dataset.h"
#include "runtime/train/data_cache.h"
#include "runtime/train/session.h"
#include "runtime/train/timeline.h"
#include "sharding/comm/communicator.h"

namespace athanor {

// Data of a run, shared read-only by the ranks of a process.
struct RunData {
  BatchSource train;
  std::optional<BatchSource> eval;
  DatasetReport report;
  CacheUse cache;
};

// Tokenises everything, or takes it from the cache; ids are checked against the model's vocabulary.
// auto_cache: the folder that data_cache: auto means; empty: nothing is kept.
RunData load_run_data(const ResolvedRun& run, const std::filesystem::path& auto_cache = {});

// The date that templates see becomes a setting of the run, if its template asks for it.
void fix_template_date(RunConfig& config);

struct RunSteps {
  int64_t per_epoch = 0;
  int64_t total = 0;
};
RunSteps count_steps(const RunConfig& config, const BatchPlan& batch, const BatchSource& data);

// The micro-batches of `rank` in step `index` of `epoch`.
StepBatch make_step_batch(const BatchSource& data, const LanePlan& plan, int rank, int64_t epoch,
                          int64_t first_micro_batch);

struct RunOutcome {
  bool stopped = false;  // by a signal, after saving
  int64_t steps = 0;
  double last_loss = 0;
  TierStats device;  // what the rank allocated
  double seconds = 0;
};

struct RunObservers {
  Timeline* profile = nullptr;   // gets when each operation ran, without the first of several steps
  int64_t planned_bytes = 0;     // a rank's peak, for the live line
  Activity* activity = nullptr;  // of this rank, for those who watch it
};

// Runs to the end, or until `stop` is non-zero on any rank. Rank 0 writes files and logs.
RunOutcome run_training(const ResolvedRun& run, const RunData& data, Communicator& communicator,
                        CpuDevice& device, Allocator& memory, const std::atomic<int>& stop,
                        const RunObservers& observers = {});

}  // namespace athanor

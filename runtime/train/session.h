// From a RunConfig to everything a rank has to know before it allocates anything, the same for runs
// and plans; and the device of a rank.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "core/buffer.h"
#include "core/cores.h"
#include "core/stream.h"
#include "core/thread_pool.h"
#include "runtime/config/batch_plan.h"
#include "runtime/config/run_config.h"
#include "runtime/io/model_files.h"
#include "runtime/io/peft.h"
#include "runtime/io/safetensors.h"
#include "runtime/model/model_spec.h"
#include "runtime/model/param_source.h"
#include "runtime/train/trainer.h"

namespace athanor {

// A run at a given world size, resolved and consistent.
struct ResolvedRun {
  RunConfig config;
  int world_size = 1;
  BatchPlan batch;
  ModelSpec spec;
  TrainerOptions trainer;
  std::vector<std::filesystem::path> checkpoints;  // to go on from, newest first (resume.h)
};

// Reads config.json and an adapter's configuration, not weights. `config` has gone through
// refuse_unimplemented and resolve_auto.
ResolvedRun resolve_run(const RunConfig& config, int world_size);
// Logs what is allowed but rarely meant. Apart, because plans resolve a run many times.
void warn_about(const ResolvedRun& run);

// The files that a run reads its initial values from.
class RunWeights {
 public:
  explicit RunWeights(const ResolvedRun& run);
  ParamSource& source() { return *source_; }
  // Tensor bytes read so far.
  int64_t bytes_read() const;

 private:
  std::unique_ptr<ModelFiles> base_;
  std::unique_ptr<SafetensorsFile> adapter_;
  std::unique_ptr<ModelParamSource> source_;
};

// Scratch of each compute thread.
inline constexpr int64_t kThreadScratchBytes = int64_t{4} << 20;

// What a rank asks of the cores of its host.
CoreRequest core_request(const RunConfig& config, int ranks_on_host, int local_rank);
// Threads of a rank on this host: the config's, else the host's cores divided by its ranks.
int threads_per_rank(const RunConfig& config, int ranks_on_host);

// Memory, threads and streams of one CPU rank.
struct CpuDevice {
  CpuDevice(Allocator& memory, int threads)
      : pool(threads, memory, kThreadScratchBytes),
        communication_pool(1, memory, kAlignment),
        storage_pool(1, memory, kAlignment),
        compute(pool),
        communication(communication_pool),
        storage(storage_pool) {}
  ThreadPool pool;
  ThreadPool communication_pool;
  ThreadPool storage_pool;
  ImmediateStream compute;
  FifoStream communication;
  FifoStream storage;
};

}  // namespace athanor

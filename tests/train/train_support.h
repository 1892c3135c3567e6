// What plan, count and structure tests share: model folders made on the spot, full-length steps,
// and a training rank without memory.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "core/buffer.h"
#include "core/stream.h"
#include "runtime/config/run_config.h"
#include "runtime/train/machine.h"
#include "runtime/train/plan.h"
#include "runtime/train/session.h"
#include "runtime/train/step_batch.h"
#include "runtime/train/trainer.h"
#include "sharding/comm/communicator.h"
#include "tests/support/temp_folder.h"

namespace athanor::testing {

struct ModelSizes {
  int64_t vocab = 1000;
  int64_t hidden = 64;
  int64_t intermediate = 96;
  int64_t layers = 2;
  int64_t heads = 4;
  int64_t key_value_heads = 2;
  bool tied = true;
};

// A config.json without weights, for plans and runs from scratch.
inline void write_model_config(const std::filesystem::path& folder, const ModelSizes& sizes) {
  const nlohmann::json config = {{"model_type", "llama"},
                                 {"vocab_size", sizes.vocab},
                                 {"hidden_size", sizes.hidden},
                                 {"intermediate_size", sizes.intermediate},
                                 {"num_hidden_layers", sizes.layers},
                                 {"num_attention_heads", sizes.heads},
                                 {"num_key_value_heads", sizes.key_value_heads},
                                 {"max_position_embeddings", 1 << 20},
                                 {"tie_word_embeddings", sizes.tied}};
  std::ofstream(folder / "config.json") << config.dump();
}

// Rates do not matter where bytes and counts are compared.
inline Machine any_machine() {
  Machine machine;
  machine.name = "any";
  machine.f32_flops = machine.bf16_flops = 1;
  machine.memory_bandwidth = machine.network_bandwidth = 1;
  machine.memory_bytes = int64_t{1} << 50;
  return machine;
}

inline PlanResult plan_of(const RunConfig& config, int world) {
  PlanOptions options;
  options.world_size = world;
  options.threads = 1;
  options.all_ranks = true;
  return make_plan(config, options, any_machine());
}

// A step of the longest micro-batches there can be, which is what plans are made of.
inline StepBatch full_step(const ResolvedRun& run, const LanePlan& plan, int rank) {
  StepBatch batch;
  batch.micro_batches = plan.micro_batches;
  batch.slots.resize(static_cast<size_t>(plan.slots()));
  const HostMicroBatch full = full_micro_batch(run.trainer.rows, run.trainer.cutoff_len);
  for (int64_t slot = 0; slot < plan.slots(); ++slot) {
    if (plan.micro_batch(rank, slot) != kAbsent) batch.slots[static_cast<size_t>(slot)] = full;
  }
  batch.target_tokens = plan.micro_batches * full.data.target_tokens;
  return batch;
}

// The trainer of rank 0 on counting streams: what it submits, without doing it.
struct DryTrainer {
  explicit DryTrainer(const ResolvedRun& resolved)
      : run(resolved),
        memory(Tier::kDevice),
        communicator(make_counting_communicator(0, run.world_size, memory, 0)),
        trainer(run.spec, run.trainer, {memory, compute, communication, *communicator}) {}

  // Costs of loading, and of a step after the first one.
  std::map<std::string, CostSum> load() {
    compute.clear();
    trainer.load(nullptr);
    return compute.sums();
  }
  std::map<std::string, CostSum> step() {
    const StepBatch batch = full_step(run, trainer.lane_plan(run.batch.micro_batches), 0);
    for (int64_t index = 0; index < 2; ++index) {
      compute.clear();
      trainer.train_step(batch, index, 0.0);
    }
    return compute.sums();
  }

  const ResolvedRun& run;
  PlanAllocator memory;
  CountingStream compute;
  CountingStream communication;
  std::unique_ptr<Communicator> communicator;
  Trainer trainer;
};

inline int64_t count_of(const std::map<std::string, CostSum>& sums, const std::string& name) {
  const auto found = sums.find(name);
  return found == sums.end() ? 0 : found->second.count;
}

}  // namespace athanor::testing

#include "tests/multirank/equivalence_case.h"

#include <iterator>
#include <ostream>

#include "tests/multirank/covering_array.h"

namespace athanor::testing {
namespace {

// More elements than the embeddings and heads of the golden models have, fewer than their blocks.
constexpr int64_t kPersistBelow = 8000;

// Where the turns of a numerics begin.
size_t turn_of(const EquivalenceCase& numerics) {
  size_t turn = 0;
  for (const char c : numerics.numerics_name()) turn = turn * 31 + static_cast<unsigned char>(c);
  return turn % 1024;
}

}  // namespace

EquivalenceCase EquivalenceCase::reference() const {
  EquivalenceCase plain = *this;
  plain.stage = kStages[0];
  plain.layer_major = false;
  plain.recompute = 0;
  plain.disk = {};
  plain.threads = 1;
  if (world != 3) plain.world = 1;
  return plain;
}

EquivalenceCase EquivalenceCase::on_one_rank() const {
  EquivalenceCase plain = reference();
  plain.world = 1;
  return plain;
}

namespace {

const char* optimizer_suffix(OptimizerOption optim) {
  switch (optim) {
    case OptimizerOption::kAdamW:
      break;
    case OptimizerOption::kAdamW8Bit:
      return "_8bit";
    case OptimizerOption::kLion:
      return "_lion";
    case OptimizerOption::kSgd:
      return "_sgd";
  }
  return "";
}

}  // namespace

std::string EquivalenceCase::numerics_name() const {
  return std::string(kModeNames[static_cast<int>(mode)]) + (bf16 ? "_bf16" : "_f32") +
         (!family.empty() ? "_" + family
          : tied          ? "_tied"
                          : "_untied") +
         (adapter.empty() ? "" : "_" + adapter) + (packing ? "_packed" : "_rows") +
         (micro_step ? "_micro" : "") + optimizer_suffix(optim) + "_L" +
         std::to_string(batching.lanes) + "M" + std::to_string(batching.micro_batches) +
         (world == 3 ? "_of3" : "");
}

std::string EquivalenceCase::name() const {
  return "z" + std::to_string(stage.stage) + (stage.persist ? "p" : "") +
         (layer_major ? "_layer_" : "_batch_") + kRecomputationNames[recompute] +
         (disk.parameters ? "_Pdisk" : "") + (disk.optimizer ? "_Odisk" : "") +
         (disk.boundaries ? "_Bdisk" : "") + "_w" + std::to_string(world) + "_t" +
         std::to_string(threads) + "_" + numerics_name();
}

RunConfig EquivalenceCase::config(const std::filesystem::path& output) const {
  const std::filesystem::path goldens = ATHANOR_GOLDEN_DIR;
  const std::filesystem::path model = goldens / (!family.empty() ? family
                                                 : tied          ? "llama_tied"
                                                                 : "llama_untied");
  RunConfig config;
  config.model_name_or_path = model;
  config.dataset = {model / "data.jsonl"};
  config.finetuning_type = mode == Mode::kFull ? FinetuningOption::kFull : FinetuningOption::kLora;
  if (mode != Mode::kFull) {  // B is not zero
    config.adapter_name_or_path = (adapter.empty() ? model : goldens / adapter) / "adapter";
  }
  config.lora_dropout = mode == Mode::kLoraDropout ? 0.2 : 0.0;
  config.cutoff_len = 32;
  config.packing = packing;
  config.per_device_train_batch_size = 2;
  config.global_batch_size = 2 * batching.micro_batches;
  config.numerics.lanes = batching.lanes;
  config.learning_rate = 2e-3;
  config.lr_scheduler_type = LrSchedulerOption::kCosine;
  config.weight_decay = 0.01;
  config.adam_epsilon = 1e-6;
  config.optim = optim;
  config.max_steps = kEquivalenceSteps;
  config.logging_steps = 1;
  config.bf16 = bf16;
  config.gradient_checkpointing = kRecomputations[recompute];
  config.numerics.reduce = micro_step ? ReduceOption::kMicroStep : ReduceOption::kStep;
  const auto place = [](bool on_disk) {
    return on_disk ? OffloadOption::kNvme : OffloadOption::kNone;
  };
  config.zero.offload_param = place(disk.parameters);
  config.zero.offload_optimizer = place(disk.optimizer);
  config.zero.offload_activations = place(disk.boundaries);
  config.zero.nvme_path = std::filesystem::temp_directory_path();
  config.device = DeviceOption::kCpu;
  config.threads = threads;
  config.ranks = world;
  config.zero.stage = stage.stage;
  config.zero.persist_below = stage.persist ? kPersistBelow : 0;
  config.zero.schedule = layer_major ? ScheduleOption::kLayerMajor : ScheduleOption::kBatchMajor;
  config.output_dir = output;
  return config;
}

std::ostream& operator<<(std::ostream& out, const EquivalenceCase& shown) {
  return out << shown.name();
}

std::ostream& operator<<(std::ostream& out, Mode shown) {
  return out << kModeNames[static_cast<int>(shown)];
}

std::vector<int> factor_levels() {
  return {std::size(kStages),
          std::size(kWorlds),
          std::size(kBatchings),
          std::size(kModeNames),
          std::size(kThreads),
          std::size(kRecomputations),
          2,
          2,
          2,
          2,
          2,
          2,
          2,
          2};
}

EquivalenceCase case_of(const std::vector<int>& row) {
  EquivalenceCase result;
  result.stage = kStages[row.at(0)];
  result.world = kWorlds[row.at(1)];
  result.batching = kBatchings[row.at(2)];
  result.mode = static_cast<Mode>(row.at(3));
  result.threads = kThreads[row.at(4)];
  result.recompute = row.at(5);
  result.layer_major = row.at(6) != 0;
  result.bf16 = row.at(7) != 0;
  result.tied = row.at(8) != 0;
  result.packing = row.at(9) != 0;
  result.micro_step = row.at(10) != 0;
  result.disk = {row.at(11) != 0, row.at(12) != 0, row.at(13) != 0};
  return result;
}

const std::vector<EquivalenceCase>& covering_cases() {
  static const std::vector<EquivalenceCase> cases = [] {
    std::vector<EquivalenceCase> made;
    for (const std::vector<int>& row : pairwise_cover(factor_levels())) {
      made.push_back(case_of(row));
    }
    return made;
  }();
  return cases;
}

std::vector<EquivalenceCase> all_numerics() {
  std::vector<EquivalenceCase> result;
  for (const Batching& batching : kBatchings) {
    for (int mode = 0; mode < static_cast<int>(std::size(kModeNames)); ++mode) {
      for (int flags = 0; flags < 16; ++flags) {
        for (const int world : {1, 3}) {
          EquivalenceCase numerics;
          numerics.batching = batching;
          numerics.mode = static_cast<Mode>(mode);
          numerics.bf16 = (flags & 1) != 0;
          numerics.tied = (flags & 2) != 0;
          numerics.packing = (flags & 4) != 0;
          numerics.micro_step = (flags & 8) != 0;
          numerics.world = world;
          result.push_back(numerics);
        }
      }
    }
  }
  return result;
}

// Threads take turns: they are a cross product of their own in the operations' tests; so do the
// states on disk, of which every combination meets every other placement several times over the
// numerics. One rank has nothing to shard, so that its stages are one.
std::vector<EquivalenceCase> all_placements(const EquivalenceCase& numerics) {
  std::vector<EquivalenceCase> result;
  const std::vector<int> worlds =
      numerics.world == 3 ? std::vector<int>{3} : std::vector<int>{1, 2, 4};
  for (const int world : worlds) {
    for (const Stage& stage : kStages) {
      if (world == 1 && stage.stage > 0) continue;
      for (int flags = 0; flags < 6; ++flags) {
        EquivalenceCase placed = numerics;
        placed.world = world;
        placed.stage = stage;
        placed.layer_major = flags % 2 != 0;
        placed.recompute = flags / 2;
        const size_t turn = result.size() + turn_of(numerics);
        placed.threads = kThreads[turn % std::size(kThreads)];
        placed.disk = {(turn & 1) != 0, (turn & 2) != 0, (turn & 4) != 0};
        result.push_back(placed);
      }
    }
  }
  return result;
}

}  // namespace athanor::testing

// One configuration of the equivalence tests: what decides the bits of a run (its numerics), and
// what must not (its placement).
#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

#include "runtime/config/run_config.h"

namespace athanor::testing {

enum class Mode { kLora, kLoraDropout, kFull };
inline constexpr const char* kModeNames[] = {"lora", "dropout", "full"};

struct Batching {
  int lanes;
  int micro_batches;  // M of a full step
};
// One or two micro-batches a lane; a short lane and an absent one; two absent ones. Epochs have 20
// micro-batches (10 packed), so that most of these end with a smaller step as well.
inline constexpr Batching kBatchings[] = {{4, 8}, {4, 5}, {8, 8}, {8, 11}};

// A ZeRO stage; the last one keeps small units (embedding, head) resident.
struct Stage {
  int stage;
  bool persist;
};
inline constexpr Stage kStages[] = {{0, false}, {1, false}, {2, false}, {3, false}, {3, true}};
// One rank is what they are compared with: it has nothing to shard, whatever its stage.
inline constexpr int kWorlds[] = {2, 4, 3};
inline constexpr int kThreads[] = {1, 2, 4};
inline constexpr CheckpointingOption kRecomputations[] = {
    CheckpointingOption::kNone, CheckpointingOption::kSelective, CheckpointingOption::kFull};
inline constexpr const char* kRecomputationNames[] = {"keep", "selective", "recompute"};

// Which states lie on disk.
struct DiskStates {
  bool parameters = false;
  bool optimizer = false;
  bool boundaries = false;
};

inline constexpr int kEquivalenceSteps = 5;

struct EquivalenceCase {
  // Numerics. World 3 belongs to them: three ranks do not hold whole subtrees.
  Mode mode = Mode::kLora;
  bool bf16 = false;
  bool tied = false;
  bool packing = false;
  bool micro_step = false;  // reduce
  std::string family;       // a golden's folder instead of the Llama that is tied or not
  OptimizerOption optim = OptimizerOption::kAdamW;
  std::string adapter;  // a golden's folder instead of the model's own adapter
  Batching batching = kBatchings[0];
  // Placement.
  Stage stage = kStages[0];
  bool layer_major = false;
  int recompute = 0;  // of kRecomputations
  DiskStates disk;
  int world = 1;
  int threads = 1;

  // The plainest run of the same numerics.
  EquivalenceCase reference() const;
  // The same on one rank, whatever the world.
  EquivalenceCase on_one_rank() const;
  std::string numerics_name() const;
  std::string name() const;
  // `ranks`, output_dir and logging as `athanor train` needs them.
  RunConfig config(const std::filesystem::path& output) const;
};

// How GoogleTest shows them.
std::ostream& operator<<(std::ostream& out, const EquivalenceCase& shown);
std::ostream& operator<<(std::ostream& out, Mode shown);

std::vector<int> factor_levels();
EquivalenceCase case_of(const std::vector<int>& row);
// The pairwise-covering set.
const std::vector<EquivalenceCase>& covering_cases();
// Every combination of numerics, on worlds that keep the bits and on world 3.
std::vector<EquivalenceCase> all_numerics();
// Every placement of one of them.
std::vector<EquivalenceCase> all_placements(const EquivalenceCase& numerics);

}  // namespace athanor::testing

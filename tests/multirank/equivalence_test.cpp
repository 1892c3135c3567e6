// The contract (docs/architecture.md, numerics): stages, schedules, recomputation, persistence,
// threads and, with whole subtrees of lanes a rank, the world size change no bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <string>

#include "tests/multirank/covering_array.h"
#include "tests/multirank/equivalence_case.h"
#include "tests/multirank/equivalence_run.h"

namespace athanor::testing {
namespace {

const Trace& reference_of(const EquivalenceCase& wanted) {
  static std::map<std::string, Trace> known;
  const EquivalenceCase plain = wanted.reference();
  const auto [entry, fresh] = known.try_emplace(plain.name());
  if (fresh) entry->second = run_case(plain);
  return entry->second;
}

void expect_same_bits(const EquivalenceCase& wanted) {
  EXPECT_EQ(first_difference(run_case(wanted), reference_of(wanted)), "") << wanted.name();
}

// Sums over three ranks follow another tree: equal up to rounding, which five steps do not amplify.
constexpr double kWorldThreeLoss = 1e-6;

void expect_close_to_one_rank(const EquivalenceCase& wanted) {
  const Trace& got = reference_of(wanted);
  const Trace& one = reference_of(wanted.on_one_rank());
  ASSERT_EQ(got.steps.size(), one.steps.size());
  for (size_t i = 0; i < one.steps.size(); ++i) {
    EXPECT_LE(std::abs(got.steps[i].loss - one.steps[i].loss),
              kWorldThreeLoss * std::abs(one.steps[i].loss))
        << wanted.name() << ", step " << i + 1;
  }
}

TEST(CoveringArray, HasEveryPairOfLevels) {
  for (const std::vector<int>& levels :
       {factor_levels(), std::vector<int>{2, 2}, std::vector<int>{3, 3, 3, 3}}) {
    EXPECT_EQ(uncovered_pairs(levels, pairwise_cover(levels)), 0);
  }
  EXPECT_LE(covering_cases().size(), 40u);
  std::printf("%zu configurations\n", covering_cases().size());
}

TEST(CoveringArray, MissingPairsAreCounted) {
  EXPECT_EQ(uncovered_pairs({2, 3}, {{0, 0}, {1, 2}}), 4);
}

class Equivalence : public ::testing::TestWithParam<EquivalenceCase> {};

TEST_P(Equivalence, PlacementChangesNoBit) {
  expect_same_bits(GetParam());
  if (GetParam().world == 3 && !GetParam().bf16) expect_close_to_one_rank(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Pairwise, Equivalence, ::testing::ValuesIn(covering_cases()),
                         [](const auto& info) { return info.param.name(); });

// The named promises, apart from what the covering set happens to combine.
class Promise : public ::testing::TestWithParam<Mode> {
 protected:
  EquivalenceCase base() const {
    EquivalenceCase base;
    base.mode = GetParam();
    base.tied = true;
    return base;
  }
};

TEST_P(Promise, WorldsOneTwoFourAgreeWithFourLanes) {
  for (const Batching& batching : {Batching{4, 4}, Batching{4, 8}, Batching{4, 3}}) {
    for (const int world : {2, 4}) {
      EquivalenceCase wanted = base();
      wanted.batching = batching;
      wanted.world = world;
      wanted.stage = kStages[3];
      expect_same_bits(wanted);
    }
  }
}

TEST_P(Promise, SeveralLanesARankAgreeOnAnyWorld) {
  for (const int micro_batches : {8, 13, 2}) {
    for (const int world : {2, 4}) {
      EquivalenceCase wanted = base();
      wanted.batching = {8, micro_batches};
      wanted.world = world;
      wanted.stage = kStages[2];
      wanted.layer_major = true;
      expect_same_bits(wanted);
    }
  }
}

// Three ranks of one lane each (as without `numerics.lanes`), of 2, 2 and no lane, of 3, 3 and 2.
TEST_P(Promise, ThreeRanksAgreeOverStagesAndSchedules) {
  for (const Batching& batching : {Batching{3, 7}, Batching{4, 6}, Batching{8, 8}}) {
    for (const Stage& stage : kStages) {
      for (const bool layer_major : {false, true}) {
        EquivalenceCase wanted = base();
        wanted.batching = batching;
        wanted.world = 3;
        wanted.stage = stage;
        wanted.layer_major = layer_major;
        expect_same_bits(wanted);
      }
    }
    EquivalenceCase wanted = base();
    wanted.batching = batching;
    wanted.world = 3;
    expect_close_to_one_rank(wanted);
  }
}

TEST_P(Promise, ThreadsChangeNoBit) {
  for (const bool bf16 : {false, true}) {
    for (const int threads : {2, 4}) {
      EquivalenceCase wanted = base();
      wanted.bf16 = bf16;
      wanted.threads = threads;
      expect_same_bits(wanted);
    }
  }
}

TEST_P(Promise, ScheduleAndRecomputationChangeNoBitOnOneRank) {
  for (const bool layer_major : {false, true}) {
    for (int recompute = 0; recompute < static_cast<int>(std::size(kRecomputations)); ++recompute) {
      EquivalenceCase wanted = base();
      wanted.layer_major = layer_major;
      wanted.recompute = recompute;
      expect_same_bits(wanted);
    }
  }
}

TEST_P(Promise, StatesOnDiskChangeNoBit) {
  for (const bool layer_major : {false, true}) {
    for (int states = 1; states < 8; ++states) {
      EquivalenceCase wanted = base();
      wanted.layer_major = layer_major;
      wanted.recompute = states % 3;
      wanted.disk = {(states & 1) != 0, (states & 2) != 0, (states & 4) != 0};
      wanted.bf16 = states % 2 != 0;
      wanted.world = states > 4 ? 2 : 1;
      wanted.stage = kStages[states % 4];
      expect_same_bits(wanted);
    }
  }
}

TEST_P(Promise, ReductionAtEachMicroStepAgreesOverWorldsStagesAndSchedules) {
  for (const Batching& batching : {Batching{4, 8}, Batching{4, 11}, Batching{8, 13}}) {
    for (const int world : {1, 2, 4}) {
      for (const bool layer_major : {false, true}) {
        EquivalenceCase wanted = base();
        wanted.micro_step = true;
        wanted.batching = batching;
        wanted.world = world;
        wanted.layer_major = layer_major;
        for (const Stage& stage : {kStages[0], kStages[1], kStages[3]}) {
          if (world == 1 && stage.stage > 0) continue;
          wanted.stage = stage;
          expect_same_bits(wanted);
        }
      }
    }
  }
}

// A test that cannot fail proves nothing: what belongs to the numerics must show.
TEST_P(Promise, NumericsChangeBits) {
  EquivalenceCase lanes = base();
  lanes.batching = {8, kBatchings[0].micro_batches};
  EquivalenceCase packed = base();
  packed.packing = true;
  EquivalenceCase dropout = base();
  dropout.mode = GetParam() == Mode::kLora ? Mode::kLoraDropout : Mode::kLora;
  EquivalenceCase micro_step = base();
  micro_step.micro_step = true;
  for (const EquivalenceCase& other : {lanes, packed, dropout, micro_step}) {
    EXPECT_NE(first_difference(reference_of(other), reference_of(base())), "") << other.name();
  }
  // Ranks of 3, 3 and 2 lanes.
  EquivalenceCase three = lanes;
  three.world = 3;
  EXPECT_NE(first_difference(reference_of(three), reference_of(lanes)), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, Promise, ::testing::Values(Mode::kLora, Mode::kFull),
                         [](const auto& info) { return kModeNames[static_cast<int>(info.param)]; });

// Every family once, under a placement that differs in everything, as LoRA and with full training.
class Family : public ::testing::TestWithParam<const char*> {};

TEST_P(Family, PlacementChangesNoBit) {
  for (const Mode mode : {Mode::kLoraDropout, Mode::kFull}) {
    EquivalenceCase wanted;
    wanted.family = GetParam();
    wanted.mode = mode;
    wanted.bf16 = mode == Mode::kFull;
    wanted.stage = kStages[3];
    wanted.layer_major = true;
    wanted.recompute = mode == Mode::kFull ? 2 : 1;  // whole blocks, or norms and activations
    wanted.world = 2;
    wanted.threads = 2;
    expect_same_bits(wanted);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Family,
                         ::testing::Values("qwen2", "qwen3", "mistral", "llama_rope_llama3",
                                           "llama_rope_yarn", "gemma2", "gemma3_text", "phi3"),
                         [](const auto& info) { return std::string(info.param); });

// Every variant of LoRA, in the same way.
struct VariantCase {
  const char* adapter;
  const char* model;
};

class Variant : public ::testing::TestWithParam<VariantCase> {};

TEST_P(Variant, PlacementChangesNoBit) {
  for (const bool bf16 : {false, true}) {
    EquivalenceCase wanted;
    wanted.adapter = GetParam().adapter;
    wanted.family = GetParam().model;
    wanted.mode = Mode::kLoraDropout;
    wanted.bf16 = bf16;
    wanted.stage = kStages[bf16 ? 2 : 3];
    wanted.layer_major = !bf16;
    wanted.recompute = bf16 ? 2 : 1;
    wanted.disk = {bf16, !bf16, bf16};
    wanted.world = bf16 ? 4 : 2;
    wanted.threads = 2;
    expect_same_bits(wanted);
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, Variant,
                         ::testing::Values(VariantCase{"lora_pattern", "llama_untied"},
                                           VariantCase{"lora_saved_tied", "llama_tied"},
                                           VariantCase{"lora_saved_head", "llama_tied"},
                                           VariantCase{"lora_saved_embedding", "llama_tied"},
                                           VariantCase{"lora_saved_norms", "llama_untied"},
                                           VariantCase{"lora_dora", "qwen2"}),
                         [](const auto& info) { return std::string(info.param.adapter); });

// Every optimizer, in the same way: ranks of one and of two shards, state in memory and on disk.
constexpr const char* kOptimizerNames[] = {"adamw", "sgd", "adamw_8bit", "lion"};

class OptimizerOfRanks : public ::testing::TestWithParam<OptimizerOption> {};

TEST_P(OptimizerOfRanks, PlacementChangesNoBit) {
  EquivalenceCase plain;
  plain.mode = Mode::kFull;
  EquivalenceCase with_adamw = plain;
  plain.optim = GetParam();
  EXPECT_NE(first_difference(reference_of(plain), reference_of(with_adamw)), "");
  for (const bool bf16 : {false, true}) {
    EquivalenceCase wanted = plain;
    wanted.bf16 = bf16;
    wanted.stage = kStages[bf16 ? 2 : 3];
    wanted.disk = {false, bf16, false};
    wanted.layer_major = bf16;
    wanted.world = bf16 ? 4 : 2;
    wanted.threads = 2;
    expect_same_bits(wanted);
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, OptimizerOfRanks,
                         ::testing::Values(OptimizerOption::kAdamW8Bit, OptimizerOption::kLion,
                                           OptimizerOption::kSgd),
                         [](const auto& info) {
                           return std::string(kOptimizerNames[static_cast<int>(info.param)]);
                         });

TEST(FullMatrix, EveryPlacementOfEveryNumericsChangesNoBit) {
  if (std::getenv("ATHANOR_FULL_MATRIX") == nullptr) {
    GTEST_SKIP() << "takes minutes; set ATHANOR_FULL_MATRIX=1 (tests/multirank/full_matrix.sh)";
  }
  int configurations = 0;
  int references = 0;
  int different = 0;
  for (const EquivalenceCase& numerics : all_numerics()) {
    const Trace expected = run_case(numerics.reference());
    ++references;
    if (numerics.world == 3 && !numerics.bf16) expect_close_to_one_rank(numerics);
    for (const EquivalenceCase& placed : all_placements(numerics)) {
      ++configurations;
      const std::string difference = first_difference(run_case(placed), expected);
      if (difference.empty()) continue;
      if (++different <= 20) ADD_FAILURE() << placed.name() << ": " << difference;
    }
  }
  std::printf("full matrix: %d configurations against %d references, %d different\n",
              configurations, references, different);
  EXPECT_EQ(different, 0);
}

}  // namespace
}  // namespace athanor::testing

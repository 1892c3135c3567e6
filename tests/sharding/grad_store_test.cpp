// GradStore: whatever the ranks, stage and schedule, a gradient is the sum of its micro-batches
// along lanes and then along the pairwise tree over lanes (reduce: step), or along the tree over
// lanes and then over micro-steps (reduce: micro_step), bit for bit.
#include "sharding/grad_store.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/pairwise.h"
#include "core/philox.h"
#include "tests/sharding/store_support.h"
#include "tests/sharding/thread_ranks.h"

namespace athanor {
namespace {

using testing::placements_of;
using testing::run_ranks;
using testing::TestRank;

// Unit 0 is used twice (a tied head), unit 1 once.
std::vector<UnitSpec> units() {
  UnitSpec tied;
  tied.uses = 2;
  tied.params = {{"embedding", {90, 12}, ParamKind::kMatrix, true, true}};
  UnitSpec block;
  block.params = {{"frozen", {10, 10}, ParamKind::kMatrix, false, true},
                  {"norm", {12}, ParamKind::kVector, true, false},
                  {"weight", {70, 30}, ParamKind::kMatrix, true, true}};
  return {tied, block};
}

// Gradient of one micro-batch: magnitudes over many decades, so that the order shows.
float contribution(int unit, int use, int param, int64_t element, int micro_batch) {
  const PhiloxKey key{static_cast<uint64_t>(micro_batch),
                      static_cast<uint64_t>(unit * 100 + use * 10 + param)};
  const float exponent = key.uniform(static_cast<uint64_t>(2 * element)) * 30.0f - 15.0f;
  return std::ldexp(2.0f * key.uniform(static_cast<uint64_t>(2 * element + 1)) - 1.0f,
                    static_cast<int>(exponent));
}

float expected(const LanePlan& plan, int unit, int use, int param, int64_t element) {
  return tree_reduce(
      0, plan.present_lanes(),
      [&](int64_t lane) {
        float sum = 0;
        for (int64_t i = 0; i < plan.per_lane(); ++i) {
          const int64_t index = lane * plan.per_lane() + i;
          if (index < plan.micro_batches) {
            sum += contribution(unit, use, param, element, static_cast<int>(index));
          }
        }
        return sum;
      },
      [](float left, float right) { return left + right; });
}

// reduce: micro_step. The i-th micro-batches of all lanes combine, then the results add over i.
float expected_by_micro_step(const LanePlan& plan, int unit, int use, int param, int64_t element) {
  float sum = 0;
  for (int64_t i = 0; i < plan.per_lane(); ++i) {
    const int64_t lanes = (plan.micro_batches - i + plan.per_lane() - 1) / plan.per_lane();
    const float combined = tree_reduce(
        0, lanes,
        [&](int64_t lane) {
          return contribution(unit, use, param, element,
                              static_cast<int>(lane * plan.per_lane() + i));
        },
        [](float left, float right) { return left + right; });
    sum = i == 0 ? combined : sum + combined;
  }
  return sum;
}

struct Replay {
  int stage = 0;
  ScheduleOrder order = ScheduleOrder::kBatchMajor;
  ReduceMode reduce = ReduceMode::kStep;
};

GradOptions grad_options(const LanePlan& plan, const Replay& replay) {
  const bool each = replay.reduce == ReduceMode::kMicroStep;
  const int64_t together = each ? plan.lanes_per_rank() : plan.slots();
  return {plan.lane_buffers(), replay.order == ScheduleOrder::kLayerMajor || together == 1,
          replay.reduce};
}

// Replays the schedule of one rank; two steps, because buffers are used again.
void expect_tree(TestRank& self, const LanePlan& plan, const Replay& replay) {
  const std::vector<UnitSpec> specs = units();
  const PartitionTable table(specs, DType::kF32, plan.world_size);
  GradStore store(specs, table, placements_of(specs, replay.stage, plan.world_size),
                  grad_options(plan, replay), self.context());
  ScheduleInput input;
  input.chain = {{0, 0}, {1, 0}, {0, 1}};
  input.lanes = plan;
  input.rank = self.rank();
  input.order = replay.order;
  input.reduce = replay.reduce;
  for (int step = 0; step < 2; ++step) {
    for (const Visit& visit : build_train_schedule(input)) {
      if (visit.pass != Pass::kLoss && visit.pass != Pass::kBackward) continue;
      store.begin(visit);
      const auto& params = specs[static_cast<size_t>(visit.unit)].params;
      for (int param = 0; param < static_cast<int>(params.size()); ++param) {
        if (visit.micro_batch == kAbsent) continue;
        const Tensor gradient = store.grad(visit.unit, visit.use, param);
        ASSERT_EQ(gradient.defined(), params[static_cast<size_t>(param)].trainable);
        for (int64_t i = 0; gradient.defined() && i < gradient.numel(); ++i) {
          gradient.data<float>()[i] +=
              contribution(visit.unit, visit.use, param, i, visit.micro_batch);
        }
      }
      store.end(visit);
    }
    store.finish();
  }
  for (int unit = 0; unit < 2; ++unit) {
    const Range owned = store.owned_range(unit);
    if (owned.size() == 0) continue;
    const Tensor result = store.owned_grad(unit);
    for (int param = 0; param < static_cast<int>(table.unit(unit).params.size()); ++param) {
      const ParamPlace& place = table.unit(unit).params[static_cast<size_t>(param)];
      if (!place.trainable) continue;
      for (int64_t i = 0; i < place.numel; ++i) {
        const int64_t at = place.offset + i;
        if (at < owned.begin || at >= owned.end) continue;
        const auto sum = replay.reduce == ReduceMode::kStep ? expected : expected_by_micro_step;
        float want = sum(plan, unit, 0, param, i);
        if (unit == 0) want += sum(plan, unit, 1, param, i);  // uses in order
        ASSERT_EQ(result.data<float>()[at - owned.begin], want)
            << "unit " << unit << " element " << at;
      }
    }
  }
}

TEST(GradStore, LanesOfOneRankCombineAlongTheTree) {
  for (const ScheduleOrder order : {ScheduleOrder::kBatchMajor, ScheduleOrder::kLayerMajor}) {
    for (int lanes = 1; lanes <= 8; ++lanes) {
      for (const int64_t micro_batches : {1, 5, 8, 11}) {
        for (const ReduceMode reduce : {ReduceMode::kStep, ReduceMode::kMicroStep}) {
          run_ranks(1, [&](TestRank& self) {
            expect_tree(self, {micro_batches, lanes, 1}, {0, order, reduce});
          });
        }
      }
    }
  }
}

class GradStoreRanks : public ::testing::TestWithParam<std::tuple<int, ScheduleOrder, ReduceMode>> {
};

TEST_P(GradStoreRanks, HaveTheBitsOfOneRank) {
  const auto [stage, order, reduce] = GetParam();
  const Replay replay{stage, order, reduce};
  for (const int world : {2, 4}) {
    for (const int lanes : {world, 8}) {
      for (const int64_t micro_batches : {1, 3, 5, 8}) {  // ranks without work among them
        run_ranks(world, [&](TestRank& self) {
          expect_tree(self, {micro_batches, lanes, world}, replay);
        });
      }
    }
  }
  run_ranks(3, [&](TestRank& self) {
    expect_tree(self, {7, 3, 3}, replay);  // one lane a rank: whole subtrees for any world
  });
}

INSTANTIATE_TEST_SUITE_P(
    Stages, GradStoreRanks,
    ::testing::Combine(::testing::Values(0, 1, 2, 3),
                       ::testing::Values(ScheduleOrder::kBatchMajor, ScheduleOrder::kLayerMajor),
                       ::testing::Values(ReduceMode::kStep, ReduceMode::kMicroStep)));

TEST(GradStore, KeepsNoWholeGradientWhereOneStretchIsSharded) {
  run_ranks(4, [](TestRank& self) {
    const std::vector<UnitSpec> specs = units();
    const PartitionTable table(specs, DType::kF32, 4);
    const int64_t before = self.memory.stats().current_bytes;
    const GradStore store(specs, table, placements_of(specs, 2, 4), {1, true, ReduceMode::kStep},
                          self.context());
    // Shards of two uses (1,024 elements each: 1,080 elements are two blocks on four ranks) and of
    // the block (128 + 2,100 are three), and two working sets of the larger whole, 4 x 1,024.
    EXPECT_EQ(self.memory.stats().current_bytes - before, 4 * (3 * 1024 + 2 * 4096));
  });
}

// A lane a rank, several micro-batches each, batch-major: only a reduction after each of them
// spares the whole gradients.
TEST(GradStore, MicroStepKeepsNoWholeGradientInBatchMajorOrder) {
  run_ranks(4, [](TestRank& self) {
    const std::vector<UnitSpec> specs = units();
    const PartitionTable table(specs, DType::kF32, 4);
    const auto bytes = [&](ReduceMode reduce) {
      const int64_t before = self.memory.stats().current_bytes;
      const LanePlan plan{12, 4, 4};
      const GradStore store(specs, table, placements_of(specs, 2, 4),
                            grad_options(plan, {2, ScheduleOrder::kBatchMajor, reduce}),
                            self.context());
      return self.memory.stats().current_bytes - before;
    };
    // Shards as above, two working sets, and one reduced shard that is about to be added.
    EXPECT_EQ(bytes(ReduceMode::kMicroStep), 4 * (3 * 1024 + 2 * 4096 + 1024));
    EXPECT_EQ(bytes(ReduceMode::kStep), 4 * 3 * 4096);
  });
}

}  // namespace
}  // namespace athanor

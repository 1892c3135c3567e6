// Rows, micro-batches and lanes for world sizes that divide and world sizes that do not.
#include "runtime/config/batch_plan.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace athanor {
namespace {

struct Case {
  const char* name;
  int64_t per_device;
  std::optional<int64_t> accumulation;
  std::optional<int64_t> global;
  std::optional<int64_t> lanes;
  int world;
  BatchPlan plan;
};

class BatchPlanTable : public testing::TestWithParam<Case> {};

TEST_P(BatchPlanTable, ResolvesToTheExpectedPlan) {
  const Case& row = GetParam();
  RunConfig config;
  config.per_device_train_batch_size = row.per_device;
  config.gradient_accumulation_steps = row.accumulation;
  config.global_batch_size = row.global;
  config.numerics.lanes = row.lanes;
  EXPECT_EQ(resolve_batch(config, row.world), row.plan);
}

// {world, rows/micro-batch, rows/step, M, L, per lane, per rank}
INSTANTIATE_TEST_SUITE_P(
    All, BatchPlanTable,
    testing::Values(Case{"defaults", 1, {}, {}, {}, 1, {1, 1, 1, 1, 1, 1, 1}},
                    Case{"accumulation", 2, 4, {}, {}, 2, {2, 2, 16, 8, 2, 4, 4}},
                    Case{"global", 2, {}, 16, {}, 2, {2, 2, 16, 8, 2, 4, 4}},
                    Case{"agreeing", 2, 4, 16, {}, 2, {2, 2, 16, 8, 2, 4, 4}},
                    Case{"not_divisible_by_world", 1, {}, 8, {}, 3, {3, 1, 8, 8, 3, 3, 3}},
                    Case{"fewer_micro_batches_than_ranks", 1, {}, 2, {}, 4, {4, 1, 2, 2, 4, 1, 1}},
                    Case{"more_lanes_than_ranks", 1, {}, 8, 4, 2, {2, 1, 8, 8, 4, 2, 4}},
                    Case{"lanes_and_odd_world", 1, {}, 8, 4, 3, {3, 1, 8, 8, 4, 2, 4}}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

std::string config_error(const RunConfig& config, int world) {
  try {
    resolve_batch(config, world);
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 78);
    return error.message();
  }
  return "no error";
}

TEST(BatchPlan, NamesBothNumbersOfAContradiction) {
  RunConfig config;
  config.per_device_train_batch_size = 2;
  config.gradient_accumulation_steps = 3;
  config.global_batch_size = 16;
  const std::string message = config_error(config, 2);
  EXPECT_NE(message.find("found 16"), std::string::npos) << message;
  EXPECT_NE(message.find("needed 12"), std::string::npos) << message;
}

TEST(BatchPlan, RefusesRowsThatDoNotFillMicroBatchesAndRanksWithoutLane) {
  RunConfig config;
  config.per_device_train_batch_size = 4;
  config.global_batch_size = 6;
  EXPECT_NE(config_error(config, 1).find("found 6"), std::string::npos);
  config = RunConfig();
  config.numerics.lanes = 2;
  EXPECT_NE(config_error(config, 4).find("numerics.lanes: found 2"), std::string::npos);
}

}  // namespace
}  // namespace athanor

#include "sharding/zero_policy.h"

#include <gtest/gtest.h>

namespace athanor {
namespace {

TEST(ZeroPolicy, EachStageShardsOneStateMore) {
  for (int stage = 0; stage <= 3; ++stage) {
    const Placements placements = zero_placements(stage, 2, 1000, 0);
    EXPECT_EQ(placements.optimizer.sharded(), stage >= 1);
    EXPECT_EQ(placements.gradients.sharded(), stage >= 2);
    EXPECT_EQ(placements.parameters.sharded(), stage >= 3);
    EXPECT_EQ(placements.parameters.tier, Tier::kDevice);
  }
}

TEST(ZeroPolicy, OneRankHasNothingToShard) {
  for (int stage = 0; stage <= 3; ++stage) {
    const Placements placements = zero_placements(stage, 1, 1000, 0);
    EXPECT_FALSE(placements.optimizer.sharded());
    EXPECT_FALSE(placements.gradients.sharded());
    EXPECT_FALSE(placements.parameters.sharded());
  }
}

TEST(ZeroPolicy, SmallUnitsKeepTheirParametersButShardTheRest) {
  const Placements below = zero_placements(3, 2, 99, 100);
  EXPECT_FALSE(below.parameters.sharded());
  EXPECT_TRUE(below.gradients.sharded());
  EXPECT_TRUE(below.optimizer.sharded());
  EXPECT_TRUE(zero_placements(3, 2, 100, 100).parameters.sharded());
}

TEST(ZeroPolicy, RefusesOtherStages) {
  EXPECT_THROW(zero_placements(4, 2, 1, 0), Error);
  EXPECT_THROW(zero_placements(-1, 2, 1, 0), Error);
}

}  // namespace
}  // namespace athanor

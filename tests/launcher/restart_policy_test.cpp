#include "launcher/restart_policy.h"

#include <gtest/gtest.h>

namespace athanor {
namespace {

TEST(RestartPolicy, GoesOnAfterWhatMayPass) {
  for (const int code : {69, 70, 74, 124}) {
    RestartPolicy policy({5, 4, 4}, -1);
    const auto next = policy.after(code, 10);
    EXPECT_TRUE(next.again) << code;
    EXPECT_EQ(next.ranks, 4) << code;
  }
}

TEST(RestartPolicy, NotAfterWhatWouldComeAgain) {
  for (const int code : {2, 65, 71, 76, 78, 130}) {
    RestartPolicy policy({5, 4, 4}, -1);
    const auto next = policy.after(code, 10);
    EXPECT_FALSE(next.again) << code;
    EXPECT_NE(next.why_not, "") << code;
  }
  RestartPolicy done({5, 4, 4}, -1);
  EXPECT_FALSE(done.after(0, 10).again);
  EXPECT_EQ(done.after(0, 10).why_not, "");
}

TEST(RestartPolicy, EndsWhenTheyAreUsedUp) {
  RestartPolicy policy({2, 4, 4}, -1);
  EXPECT_TRUE(policy.after(69, 10).again);
  EXPECT_TRUE(policy.after(69, 20).again);
  EXPECT_EQ(policy.after(69, 30).why_not, "max_restarts: 2 are used up");
  EXPECT_FALSE(RestartPolicy({0, 4, 4}, -1).after(69, 10).again);
}

TEST(RestartPolicy, EndsAfterThreeAttemptsWithoutProgress) {
  RestartPolicy policy({100, 4, 4}, 10);
  EXPECT_TRUE(policy.after(69, 10).again);
  EXPECT_TRUE(policy.after(69, 10).again);
  EXPECT_EQ(policy.after(69, 10).why_not, "3 attempts in a row made no progress beyond step 10");
  RestartPolicy progress({100, 4, 4}, 10);
  for (int64_t step = 11; step < 60; ++step) EXPECT_TRUE(progress.after(69, step).again);
}

TEST(RestartPolicy, FewerRanksAfterTwoAttemptsWithoutProgress) {
  RestartPolicy policy({100, 4, 3}, -1);
  EXPECT_EQ(policy.after(69, 10).ranks, 4);
  EXPECT_EQ(policy.after(69, 10).ranks, 4);
  EXPECT_EQ(policy.after(69, 10).ranks, 3);
  EXPECT_EQ(policy.after(69, 10).ranks, 3);
  EXPECT_EQ(policy.after(69, 10).ranks, 3);
  EXPECT_FALSE(policy.after(69, 10).again);
}

TEST(RestartPolicy, NotWithoutACheckpoint) {
  RestartPolicy policy({100, 4, 1}, -1);
  EXPECT_EQ(policy.after(69, -1).ranks, 4);
  EXPECT_EQ(policy.after(69, -1).ranks, 4);
  EXPECT_FALSE(policy.after(69, -1).again);
}

}  // namespace
}  // namespace athanor

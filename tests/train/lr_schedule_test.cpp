// Values of transformers' get_*_schedule_with_warmup, worked by hand.
#include "runtime/optim/lr_schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace athanor {
namespace {

void expect_rates(LrSchedule schedule, int64_t warmup, int64_t total,
                  const std::vector<double>& factors) {
  for (size_t step = 0; step < factors.size(); ++step) {
    EXPECT_NEAR(learning_rate_at({schedule, 2e-4, warmup, total}, static_cast<int64_t>(step)),
                2e-4 * factors[step], 1e-18)
        << "step " << step;
  }
}

TEST(LrSchedule, ConstantWithWarmup) {
  expect_rates(LrSchedule::kConstant, 4, 8, {0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1});
}

TEST(LrSchedule, LinearReachesZeroAtTheEndAndStaysThere) {
  expect_rates(LrSchedule::kLinear, 2, 10,
               {0, 0.5, 1, 7.0 / 8, 6.0 / 8, 5.0 / 8, 4.0 / 8, 3.0 / 8, 2.0 / 8, 1.0 / 8, 0, 0});
}

TEST(LrSchedule, CosineIsHalfAWave) {
  const double root = std::sqrt(0.5);
  const double root3 = std::sqrt(3.0);
  // 0.5 * (1 + cos(pi * k / 4))
  expect_rates(LrSchedule::kCosine, 2, 6, {0, 0.5, 1, 0.5 + root / 2, 0.5, 0.5 - root / 2, 0});
  // 0.5 * (1 + cos(pi * k / 6)), without warm-up
  expect_rates(LrSchedule::kCosine, 0, 6,
               {1, 0.5 + root3 / 4, 0.75, 0.5, 0.25, 0.5 - root3 / 4, 0});
}

TEST(LrSchedule, WithoutWarmupTheFirstStepHasTheFullRate) {
  for (const LrSchedule schedule :
       {LrSchedule::kConstant, LrSchedule::kLinear, LrSchedule::kCosine}) {
    EXPECT_DOUBLE_EQ(learning_rate_at({schedule, 1e-3, 0, 5}, 0), 1e-3);
  }
}

TEST(LrSchedule, AWarmupAsLongAsTheRunNeverDividesByZero) {
  for (const LrSchedule schedule :
       {LrSchedule::kConstant, LrSchedule::kLinear, LrSchedule::kCosine}) {
    EXPECT_DOUBLE_EQ(learning_rate_at({schedule, 1e-3, 4, 4}, 2), 5e-4);
    EXPECT_TRUE(std::isfinite(learning_rate_at({schedule, 1e-3, 4, 4}, 4)));
  }
}

}  // namespace
}  // namespace athanor

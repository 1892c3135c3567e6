// NumbersGuard: how many skipped steps in a row end a run.
#include "runtime/train/numbers_guard.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "tests/sharding/thread_ranks.h"

namespace athanor::testing {
namespace {

BatchSource three_samples() {
  const Sample sample{{1, 2, 3}, {1, 2, 3}};
  BatchOptions options;
  options.shuffle = false;
  options.cutoff_len = 3;
  return BatchSource({sample, sample, sample}, options);
}

struct Watch {
  explicit Watch(TestRank& rank) : self(rank), data(three_samples()), guard(data) {}

  void step(bool skipped) {
    StepResult result;
    result.skipped = skipped;
    if (skipped) result.grad_norm = std::numeric_limits<double>::infinity();
    const LanePlan plan{3, 1, self.communicator->world_size()};
    const StepBatch batch{3, 6, std::vector<HostMicroBatch>(3)};
    guard.observe(result, {steps++, 0, 0, plan, batch}, *self.communicator, self.communication);
  }

  TestRank& self;
  BatchSource data;
  NumbersGuard guard;
  int64_t steps = 0;
};

TEST(NumbersGuard, EndsTheRunOnAllRanksAtTheThirdSkippedStepInARow) {
  run_ranks(2, [](TestRank& self) {
    Watch watch(self);
    for (const bool skipped : {true, true, false, true, true}) watch.step(skipped);
    try {
      watch.step(true);
      ADD_FAILURE() << "went on";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kDiverged);
      EXPECT_NE(std::string(error.what()).find("step 6: loss 0.000000, gradient norm inf"),
                std::string::npos)
          << error.what();
    }
  });
}

TEST(NumbersGuard, NamesTheStepAndAllItsSamplesWhenOnlyTheNormIsNotFinite) {
  ::testing::internal::CaptureStderr();
  run_ranks(1, [](TestRank& self) { Watch(self).step(true); });
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("step 1: loss 0.000000, gradient norm inf: not finite, step skipped (1 in"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("the step had samples 0, 1, 2"), std::string::npos) << text;
}

}  // namespace
}  // namespace athanor::testing

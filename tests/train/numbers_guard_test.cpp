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
  std::vector<Sample> samples(3, Sample{{1, 2, 3}, {1, 2, 3}});
  for (size_t i = 0; i < samples.size(); ++i) {
    samples[i].origin = {0, static_cast<int64_t>(10 + i)};
  }
  BatchOptions options;
  options.shuffle = false;
  options.cutoff_len = 3;
  return BatchSource(std::move(samples), options);
}

struct Watch {
  explicit Watch(TestRank& rank) : self(rank), data(three_samples()), guard(data, report) {
    report.files = {{"data.jsonl", "text", 3}};
  }

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
  DatasetReport report;
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
  EXPECT_NE(text.find("the step had samples data.jsonl:10, data.jsonl:11, data.jsonl:12"),
            std::string::npos)
      << text;
}

}  // namespace
}  // namespace athanor::testing

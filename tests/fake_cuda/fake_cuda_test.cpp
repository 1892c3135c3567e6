// Tests of the tester: every planted bug is caught, a correct program never is. Each program runs
// in a process of its own, because the fake ends the process that breaks a rule.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>

#include "tests/fake_cuda/planted.h"
#include "tests/fake_cuda/runtime/control.h"
#include "tests/fake_cuda/runtime/sanitizer.h"

namespace fake_cuda::testing {
namespace {

constexpr int kWrong = 1;
constexpr int kRace = 66;

void exit_with_verdict(Bug bug, const Settings& settings) {
  configure(settings);
  _exit(run_planted(bug) ? 0 : kWrong);
}

bool caught(int status) { return WIFEXITED(status) && WEXITSTATUS(status) != 0; }
bool clean(int status) { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }

Settings with(Policy policy, ThreadOrder order = ThreadOrder::kUniform, uint64_t seed = 1) {
  Settings settings;
  settings.policy = policy;
  settings.order = order;
  settings.seed = seed;
  return settings;
}

constexpr std::array kPolicies = {Policy::kEager, Policy::kLazy, Policy::kAhead, Policy::kRandom};
constexpr std::array kOrders = {ThreadOrder::kFifo, ThreadOrder::kUniform,
                                ThreadOrder::kWarpGreedy};

TEST(FakeCuda, RunsACorrectProgramUnderEveryPolicyAndOrder) {
  for (Policy policy : kPolicies) {
    for (ThreadOrder order : kOrders) {
      // With ThreadSanitizer one run of each policy says as much.
      if (sanitizer::tracks_races() && order != ThreadOrder::kUniform) continue;
      EXPECT_EXIT(exit_with_verdict(Bug::kNone, with(policy, order, 7)), clean, "");
    }
  }
}

struct Rule {
  Bug bug;
  const char* name;
  const char* message;
};

class FakeCudaRule : public ::testing::TestWithParam<Rule> {};

TEST_P(FakeCudaRule, EndsTheProcessWithAReason) {
  for (Policy policy : {Policy::kLazy, Policy::kRandom}) {
    EXPECT_EXIT(exit_with_verdict(GetParam().bug, with(policy)), caught, GetParam().message);
  }
}

INSTANTIATE_TEST_SUITE_P(
    , FakeCudaRule,
    ::testing::Values(
        Rule{Bug::kStorePastTheEnd, "StorePastTheEnd",
             "out of bounds store: byte 100 of device allocation . of 100 bytes|use-after-poison"},
        Rule{Bug::kStoreIntoGuardPage, "StoreIntoGuardPage",
             "a kernel touches byte 768 of device allocation 0 .x. of 768"},
        Rule{Bug::kSharedPastTheEnd, "SharedPastTheEnd", "shared memory out of bounds"},
        Rule{Bug::kUseAfterFree, "UseAfterFree", "use after free: a kernel touches .*y"},
        Rule{Bug::kHostPointer, "HostPointer", "argument 1 .*points to memory of the host"},
        Rule{Bug::kHostPointerInStruct, "HostPointerInStruct",
             "argument 0 .*byte 8, points to memory of the host"},
        Rule{Bug::kHostReadsDevice, "HostReadsDevice", "host code touches device memory: byte 12"},
        Rule{Bug::kHostWritesDevice, "HostWritesDevice",
             "host code touches device memory: byte 12"},
        Rule{Bug::kDivergentBarrier, "DivergentBarrier", "divergent __syncthreads"},
        Rule{Bug::kEarlyExit, "EarlyExit", "__syncthreads.*exited|deadlock"},
        Rule{Bug::kAbsentLanes, "AbsentLanes", "warp divergence|deadlock|exited"},
        Rule{Bug::kMisaligned, "Misaligned", "misaligned access of 16 bytes"},
        Rule{Bug::kPageableCopy, "PageableCopy", "copy from: not pinned memory"},
        Rule{Bug::kReadBeforeCopyEnds, "ReadBeforeCopyEnds",
             "pinned memory is touched while a copy is in flight|data race"},
        Rule{Bug::kDefaultStream, "DefaultStream", "default stream"}),
    [](const auto& info) { return info.param.name; });

// Without ThreadSanitizer the result must come out wrong, for which an unlucky order is needed.
class FakeCudaOrder : public ::testing::Test {
 protected:
  static void expect_wrong(Bug bug, const Settings& settings) {
    if (sanitizer::tracks_races()) GTEST_SKIP() << "ThreadSanitizer finds these in any order";
    EXPECT_EXIT(exit_with_verdict(bug, settings), ::testing::ExitedWithCode(kWrong), "");
  }
};

TEST_F(FakeCudaOrder, LazyStreamsShowAMissingEvent) {
  expect_wrong(Bug::kMissingEvent, with(Policy::kLazy));
}

TEST_F(FakeCudaOrder, StreamsThatRunAheadShowAMissingBackEvent) {
  expect_wrong(Bug::kMissingBackEvent, with(Policy::kAhead));
}

TEST_F(FakeCudaOrder, GreedyWarpsShowAMissingBarrier) {
  expect_wrong(Bug::kMissingBarrier, with(Policy::kLazy, ThreadOrder::kWarpGreedy));
}

TEST_F(FakeCudaOrder, AnyOrderShowsAMissingWarpSync) {
  for (ThreadOrder order : kOrders) {
    expect_wrong(Bug::kMissingWarpSync, with(Policy::kLazy, order));
  }
}

// With it one run in any order is enough, though the results are right.
class FakeCudaRace : public ::testing::TestWithParam<Rule> {};

TEST_P(FakeCudaRace, IsReportedInAnyOrder) {
  if (!sanitizer::tracks_races()) GTEST_SKIP() << "needs ThreadSanitizer";
  for (Policy policy : {Policy::kEager, Policy::kLazy}) {
    EXPECT_EXIT(exit_with_verdict(GetParam().bug, with(policy, ThreadOrder::kFifo)),
                ::testing::ExitedWithCode(kRace), "data race");
  }
}

INSTANTIATE_TEST_SUITE_P(, FakeCudaRace,
                         ::testing::Values(Rule{Bug::kMissingEvent, "MissingEvent", ""},
                                           Rule{Bug::kMissingBackEvent, "MissingBackEvent", ""},
                                           Rule{Bug::kHiddenBackEvent, "HiddenBackEvent", ""},
                                           Rule{Bug::kMissingBarrier, "MissingBarrier", ""},
                                           Rule{Bug::kMissingWarpSync, "MissingWarpSync", ""},
                                           Rule{Bug::kRaceBetweenBlocks, "RaceBetweenBlocks", ""}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace fake_cuda::testing

// The planned step on a clock: what the plan sums up, in an order that streams allow.
#include "runtime/train/timeline.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "runtime/train/machine_profiles.h"
#include "tests/train/train_support.h"

namespace athanor::testing {
namespace {

class PlannedTimeline : public ::testing::Test {
 protected:
  PlannedTimeline() {
    write_model_config(folder_.path(), {.layers = 3});
    config_.model_name_or_path = folder_.path().string();
    config_.train_from_scratch = true;
    config_.finetuning_type = FinetuningOption::kFull;
    config_.cutoff_len = 64;
    config_.gradient_accumulation_steps = 2;
    config_.zero.stage = 3;
    resolve_auto(config_);
    options_.world_size = 4;
  }
  TempFolder folder_;
  RunConfig config_;
  PlanOptions options_;
};

TEST_F(PlannedTimeline, HasTheOperationsOfThePlanAndEndsNotBeforeItsFloor) {
  for (const MachineProfile& profile : machine_profiles()) {
    const Machine machine = load_machine(profile.name, 1);
    const PlanResult plan = make_plan(config_, options_, machine);
    const Timeline timeline = plan_timeline(config_, options_, machine);
    ASSERT_GE(timeline.tracks.size(), 2u);
    std::map<std::string, int64_t> counts;
    for (const TimedOperation& operation : timeline.tracks[0].operations) {
      ++counts[operation.cost.name];
    }
    ASSERT_EQ(counts.size(), plan.operations.size());
    for (const auto& [name, sum] : plan.operations) EXPECT_EQ(counts[name], sum.count) << name;
    EXPECT_GE(timeline.seconds, plan.floor_seconds * (1 - 1e-9)) << machine.name;
    EXPECT_LE(timeline.seconds,
              (plan.compute_seconds + 2 * plan.communication_seconds) * (1 + 1e-9));
  }
}

TEST_F(PlannedTimeline, OperationsOfAStreamFollowOneAnother) {
  const Timeline timeline = plan_timeline(config_, options_, load_machine("gb10x2", 1));
  for (const TimelineTrack& track : timeline.tracks) {
    double end = 0;
    for (const TimedOperation& operation : track.operations) {
      EXPECT_GE(operation.start_seconds, end - 1e-12) << operation.cost.name;
      EXPECT_GE(operation.end_seconds, operation.start_seconds);
      end = operation.end_seconds;
    }
    EXPECT_LE(end, timeline.seconds + 1e-12);
  }
}

// A weight is gathered before it is used: the first block cannot begin at once.
TEST_F(PlannedTimeline, ComputeWaitsForWhatItGathers) {
  Machine machine = load_machine("h100x8", 1);
  machine.network_bandwidth = 1e3;
  const Timeline slow = plan_timeline(config_, options_, machine);
  const PlanResult plan = make_plan(config_, options_, machine);
  EXPECT_GE(slow.tracks[0].operations.back().start_seconds, plan.communication_seconds / 2);
}

TEST_F(PlannedTimeline, ChromeTraceHasOneEventAnOperation) {
  const Timeline timeline = plan_timeline(config_, options_, load_machine("rtx4090x2", 1));
  const auto trace = nlohmann::json::parse(chrome_trace(timeline));
  size_t operations = 0;
  for (const TimelineTrack& track : timeline.tracks) operations += track.operations.size();
  size_t complete = 0;
  for (const auto& event : trace.at("traceEvents")) {
    if (event.at("ph") != "X") continue;
    ++complete;
    EXPECT_GE(event.at("dur"), 0.0);
  }
  EXPECT_EQ(complete, operations);
}

TEST(MachineProfiles, AreCompleteAndReadByName) {
  ASSERT_EQ(machine_profiles().size(), 3u);
  for (const MachineProfile& profile : machine_profiles()) {
    const Machine machine = load_machine(profile.name, 1);
    EXPECT_EQ(machine.name, profile.name);
    EXPECT_GT(machine.ranks_per_host, 0);
    EXPECT_GT(machine.bf16_flops, machine.f32_flops);
    EXPECT_GT(machine.memory_bandwidth, machine.network_bandwidth);
    EXPECT_GT(machine.network_bandwidth, machine.disk_bandwidth);
    EXPECT_GT(machine.disk_bandwidth, 1e9);
    EXPECT_GT(machine.memory_bytes, int64_t{40} * 1000 * 1000 * 1000);
  }
}

TEST(MachineProfiles, UnknownNameListsTheKnownOnes) {
  try {
    load_machine("h100", 1);
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_NE(error.message().find("here, gb10x2, h100x8, rtx4090x2"), std::string::npos)
        << error.message();
  }
}

}  // namespace
}  // namespace athanor::testing

// What `auto` and the proposals of a refused run say is what a plan with these settings says.
#include "runtime/train/plan_changes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "runtime/train/auto_choice.h"
#include "runtime/train/figures.h"
#include "runtime/train/plan_compare.h"
#include "tests/train/train_support.h"

namespace athanor::testing {
namespace {

class PlanChoices : public ::testing::Test {
 protected:
  PlanChoices() {
    write_model_config(folder_.path(), {.layers = 6});
    folder_.write("config.yaml", "model_name_or_path: " + folder_.path().string() +
                                     "\n"
                                     "finetuning_type: full\n"
                                     "train_from_scratch: true\n"
                                     "cutoff_len: 512\n"
                                     "per_device_train_batch_size: 4\n"
                                     "gradient_accumulation_steps: 4\n");
    machine_ = nominal_host();
    machine_.memory_bytes = int64_t{1} << 40;
  }

  RunConfig read(const std::vector<std::string>& settings) const {
    return load_run_config(folder_ / "config.yaml", settings);
  }
  PlanResult plan(const std::vector<std::string>& settings, int world = 1) {
    RunConfig config = read(settings);
    resolve_auto(config);
    options_.world_size = world;
    return make_plan(config, options_, machine_);
  }
  std::vector<PlanChange> changes(const PlanResult& plan) {
    return cheapest_changes([this](const auto& settings) { return read(settings); }, plan, options_,
                            machine_, 100);
  }
  static bool names(const std::vector<PlanChange>& changes, const std::string& setting) {
    for (const PlanChange& change : changes) {
      for (const std::string& other : change.settings) {
        if (other == setting) return true;
      }
    }
    return false;
  }

  TempFolder folder_;
  PlanOptions options_;
  Machine machine_;
};

TEST_F(PlanChoices, SavingsAreThoseOfAPlanWithTheSettings) {
  machine_.memory_bytes = 1;
  for (const int world : {1, 4}) {
    const PlanResult base = plan({}, world);
    ASSERT_FALSE(base.fits);
    const std::vector<PlanChange> found = changes(base);
    ASSERT_GE(found.size(), 3u);
    for (const PlanChange& change : found) {
      EXPECT_EQ(base.host_peak_bytes() - plan(change.settings, world).host_peak_bytes(),
                change.saved_bytes)
          << describe(change);
      EXPECT_GT(change.saved_bytes, 0);
      EXPECT_FALSE(change.fits);
    }
    EXPECT_TRUE(names(found, "gradient_checkpointing=full"));
    EXPECT_TRUE(names(found, "bf16=true"));
    EXPECT_TRUE(names(found, "optim=sgd"));
    EXPECT_TRUE(names(found, "per_device_train_batch_size=2"));
    EXPECT_TRUE(names(found, "cutoff_len=256"));
    EXPECT_EQ(names(found, "zero.stage=3"), world > 1);
  }
}

TEST_F(PlanChoices, ChangesThatFitComeFirstAndThoseThatKeepTheBitsBeforeOthers) {
  const PlanResult large = plan({}, 4);
  machine_.memory_bytes = large.host_peak_bytes() - 1;
  const std::vector<PlanChange> found = changes(plan({}, 4));
  ASSERT_FALSE(found.empty());
  EXPECT_TRUE(found.front().fits);
  EXPECT_EQ(found.front().remark, "");
  bool fitted = true;
  for (const PlanChange& change : found) {
    EXPECT_TRUE(fitted || !change.fits) << describe(change);
    fitted = change.fits;
  }
}

TEST_F(PlanChoices, CombinesWhenNothingFitsAlone) {
  machine_.memory_bytes = 1;
  int64_t largest = 0;
  const PlanResult base = plan({});
  for (const PlanChange& change : changes(base)) {
    largest = std::max(largest, change.saved_bytes);
  }
  machine_.memory_bytes = base.host_peak_bytes() - largest - 1;
  const std::vector<PlanChange> found = changes(plan({}));
  ASSERT_FALSE(found.empty());
  EXPECT_TRUE(found.front().fits) << describe(found.front());
  EXPECT_GT(found.front().settings.size(), 1u);
  EXPECT_LE(plan(found.front().settings).host_peak_bytes(), machine_.memory_bytes);
}

TEST_F(PlanChoices, RefusalNamesNeedBudgetAndChanges) {
  machine_.memory_bytes = 1000;
  machine_.memory_limited_by = "/sys/fs/cgroup/job";
  const PlanResult base = plan({}, 2);
  const std::vector<PlanChange> found = changes(base);
  const std::string text = refusal(base, found);
  for (const std::string& part :
       {std::to_string(base.host_peak_bytes()), std::string("2 ranks"),
        std::string("1000 bytes, from /sys/fs/cgroup/job"), describe(found.at(0))}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST_F(PlanChoices, AutoTakesTheFastestThatFits) {
  RunConfig config = read({});
  EXPECT_NE(decide_auto(config, options_, machine_).find("the fastest that fits"),
            std::string::npos);
  EXPECT_EQ(config.gradient_checkpointing, CheckpointingOption::kNone);
  EXPECT_EQ(config.zero.schedule, ScheduleOption::kBatchMajor);

  // Just below: what it takes must fit, and needs something recomputed or reordered.
  machine_.memory_bytes = plan({}).host_peak_bytes() - 1;
  RunConfig tight = read({});
  decide_auto(tight, options_, machine_);
  EXPECT_TRUE(make_plan(tight, options_, machine_).fits);
  EXPECT_FALSE(tight.gradient_checkpointing == CheckpointingOption::kNone &&
               tight.zero.schedule == ScheduleOption::kBatchMajor);
}

TEST_F(PlanChoices, AutoTakesTheSmallestWhenNothingFits) {
  machine_.memory_bytes = 1;
  RunConfig config = read({});
  EXPECT_NE(decide_auto(config, options_, machine_).find("nothing fits"), std::string::npos);
  const int64_t chosen = make_plan(config, options_, machine_).host_peak_bytes();
  for (const char* schedule : {"batch_major", "layer_major"}) {
    for (const char* recomputation : {"none", "full"}) {
      EXPECT_LE(chosen, plan({std::string("zero.schedule=") + schedule,
                              std::string("gradient_checkpointing=") + recomputation})
                            .host_peak_bytes());
    }
  }
}

// With sharded parameters and accumulation, layer_major gathers once a step instead of once a
// micro-batch: on a slow network it is the faster one.
TEST_F(PlanChoices, AutoTakesLayerMajorWhereGathersAreTheFloor) {
  machine_.network_bandwidth = 1e6;
  options_.world_size = 4;
  RunConfig config = read({"zero.stage=3"});
  decide_auto(config, options_, machine_);
  EXPECT_EQ(config.zero.schedule, ScheduleOption::kLayerMajor);
}

TEST_F(PlanChoices, AutoLeavesWhatWasGiven) {
  machine_.memory_bytes = 1;
  RunConfig config =
      read({"gradient_checkpointing=none", "zero.schedule=batch_major", "save_in_background=true"});
  const RunConfig before = config;
  EXPECT_EQ(decide_auto(config, options_, machine_), "");
  EXPECT_EQ(config, before);
  RunConfig half = read({"gradient_checkpointing=none"});
  const std::string line = decide_auto(half, options_, machine_);
  EXPECT_EQ(half.gradient_checkpointing, CheckpointingOption::kNone);
  EXPECT_EQ(line.find("gradient_checkpointing"), std::string::npos) << line;
  EXPECT_NE(line.find("zero.schedule="), std::string::npos) << line;
}

TEST_F(PlanChoices, ComparisonHasARowForEachCombinationThatIsAvailable) {
  const auto reader = [this](const auto& settings) { return read(settings); };
  const auto one = compare_plans(reader, plan({}), options_, machine_);
  const auto four = compare_plans(reader, plan({}, 4), options_, machine_);
  EXPECT_EQ(four.size(), 4 * one.size());
  EXPECT_GE(one.size(), 4u);
  for (const ComparedPlan& row : four) {
    if (row.offload != "as given") continue;
    EXPECT_EQ(row.plan.ranks[0].peak_bytes,
              plan({"zero.stage=" + row.stage, "zero.schedule=" + row.schedule,
                    "gradient_checkpointing=" + row.recomputation},
                   4)
                  .ranks[0]
                  .peak_bytes);
  }
  EXPECT_EQ(nlohmann::json::parse(compare_json(four)).size(), four.size());
  const std::string table = compare_table(four, machine_);
  EXPECT_EQ(static_cast<size_t>(std::count(table.begin(), table.end(), '\n')), four.size() + 1);
}

TEST(Figures, HaveAPrefixAndFourDigits) {
  EXPECT_EQ(human(1.5e9, "B"), "1.5 GB");
  EXPECT_EQ(human(0.0123, "s"), "12.3 ms");
  EXPECT_EQ(human(0, "s"), "0 s");
  EXPECT_EQ(binary_bytes(int64_t{3} << 29), "1.500 GiB");
  EXPECT_EQ(binary_bytes((int64_t{30} << 20) + (256 << 10)), "30.25 MiB");
  EXPECT_EQ(binary_bytes(1023), "1023 B");
  EXPECT_EQ(binary_bytes(0), "0 B");
  EXPECT_EQ(number_text(1.5), "1.500000");
}

TEST(Figures, NotANumberHasNoSign) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(number_text(nan), "nan");
  EXPECT_EQ(number_text(std::copysign(nan, -1.0)), "nan");
}

TEST(MachineProfile, WhatIsNotAMachineIsAConfigurationErrorThatSaysWhatItFound) {
  const TempFolder folder;
  const std::string good =
      "f32_flops: 1e12\nbf16_flops: 2e12\nmemory_bandwidth: 1e11\nnetwork_bandwidth: 1e10\n";
  const auto message_of = [&](const std::string& text) -> std::string {
    try {
      load_machine(folder.write("machine.yaml", text), 1);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig) << text;
      return error.message();
    }
    return "";
  };
  EXPECT_EQ(message_of(good + "memory_bytes: 1.28e11\nranks_per_host: 2\n"), "");
  for (const char* bytes : {"0", "-1", ".nan", ".inf", "-.inf", "1e300", "many"}) {
    EXPECT_NE(message_of(good + "memory_bytes: " + bytes + "\n")
                  .find("memory_bytes: found " + std::string(bytes) + ", needed a number above 0"),
              std::string::npos)
        << bytes;
  }
  const std::string whole = good + "memory_bytes: 1e11\n";
  EXPECT_NE(message_of(whole + "name: [a]\n").find("name: found a list or a map"),
            std::string::npos);
  EXPECT_NE(message_of(whole + "ranks_per_host: 1.5\n").find("whole number"), std::string::npos);
  EXPECT_NE(message_of(whole + "ranks_per_host: 1e30\n").find("ranks_per_host"), std::string::npos);
  EXPECT_NE(message_of(whole + "[a]: 1\n").find("a list or a map"), std::string::npos);
  EXPECT_NE(message_of(good).find("memory_bytes: found nothing"), std::string::npos);
  EXPECT_NE(message_of(std::string((1 << 20) + 1, '#')).find("more than 1 MiB"), std::string::npos);
}

}  // namespace
}  // namespace athanor::testing

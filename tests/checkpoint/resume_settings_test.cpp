#include "runtime/checkpoint/resume_settings.h"

#include <gtest/gtest.h>

#include <functional>

#include "core/error.h"

namespace athanor::testing {
namespace {

RunConfig plain_config() {
  RunConfig config;
  config.model_name_or_path = "model";
  config.dataset = {"data.jsonl"};
  config.output_dir = "out";
  return config;
}

Manifest manifest_of(const RunConfig& config) {
  Manifest manifest;
  manifest.config = to_yaml(config);
  manifest.numerics = {42, 4, "step", 8, 1};
  return manifest;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    return error.message();
  }
  return "";
}

TEST(ResumeSettings, PlacementLogsAndPathsMayChange) {
  const Manifest manifest = manifest_of(plain_config());
  RunConfig now = plain_config();
  now.model_name_or_path = "elsewhere/model";
  now.output_dir = "elsewhere/out";
  now.zero.stage = 3;
  now.zero.offload_optimizer = OffloadOption::kNvme;
  now.zero.schedule = ScheduleOption::kLayerMajor;
  now.gradient_checkpointing = CheckpointingOption::kFull;
  now.ranks = 4;
  now.threads = 3;
  now.save_steps = 7;
  now.save_total_limit = 2;
  now.resume_from_checkpoint = "auto";
  EXPECT_TRUE(check_settings(manifest, now).empty());
}

TEST(ResumeSettings, WhatChangesTheNumbersNeedsTheFlag) {
  const Manifest manifest = manifest_of(plain_config());
  RunConfig now = plain_config();
  now.learning_rate = 1e-3;
  now.weight_decay = 0.1;
  const std::string message = error_of([&] { check_settings(manifest, now); });
  EXPECT_NE(message.find("learning_rate: the checkpoint has 5.0e-05, found 0.001"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("\nweight_decay: "), std::string::npos) << message;
  EXPECT_NE(message.find("resume_with_changes: true"), std::string::npos) << message;
  now.resume_with_changes = true;
  EXPECT_EQ(check_settings(manifest, now).size(), 2u);
}

TEST(ResumeSettings, WhatTheStateCannotFollowIsRefusedEvenWithTheFlag) {
  const Manifest manifest = manifest_of(plain_config());
  RunConfig now = plain_config();
  now.optim = OptimizerOption::kSgd;
  now.resume_with_changes = true;
  EXPECT_NE(error_of([&] { check_settings(manifest, now); }).find("optim: "), std::string::npos);
}

TEST(ResumeSettings, AMoreDistantEndIsFreeWhereNoRateDependsOnIt) {
  for (const auto schedule : {LrSchedulerOption::kConstant, LrSchedulerOption::kCosine}) {
    RunConfig config = plain_config();
    config.lr_scheduler_type = schedule;
    config.max_steps = 10;
    const Manifest manifest = manifest_of(config);
    config.max_steps = 20;
    EXPECT_EQ(error_of([&] { check_settings(manifest, config); }).empty(),
              schedule == LrSchedulerOption::kConstant);
  }
}

TEST(ResumeSettings, UnknownKeysNeedTheFlag) {
  EXPECT_EQ(change_rule("zero.stage"), ChangeRule::kAllowed);
  EXPECT_EQ(change_rule("a key of a later version"), ChangeRule::kNeedsFlag);
  EXPECT_EQ(change_rule("per_device_train_batch_size"), ChangeRule::kRefused);
  EXPECT_EQ(change_rule("use_dora"), ChangeRule::kRefused);
}

TEST(ResumeSettings, LanesAndRowsOfAStepAreKept) {
  const Manifest manifest = manifest_of(plain_config());
  for (const int world : {1, 2, 3, 4}) {
    RunConfig now = plain_config();
    EXPECT_EQ(adopt_numerics(now, manifest, world), "");
    EXPECT_EQ(now.numerics.lanes, 4);
    EXPECT_EQ(now.global_batch_size, 8);
    check_step_size(now, manifest, world);
  }
  RunConfig wide = plain_config();
  EXPECT_NE(adopt_numerics(wide, manifest, 5), "");
  EXPECT_EQ(wide.numerics.lanes, 8);

  RunConfig named = plain_config();
  named.numerics.lanes = 2;
  const std::string lanes = error_of([&] { check_settings(manifest, named); });
  EXPECT_NE(lanes.find("numerics.lanes: the checkpoint has 4, found 2"), std::string::npos);

  RunConfig grown = plain_config();
  grown.gradient_accumulation_steps = 8;
  adopt_numerics(grown, manifest, 2);
  const std::string rows = error_of([&] { check_step_size(grown, manifest, 2); });
  EXPECT_NE(rows.find("16 rows a step on 2 ranks, the checkpoint has 8"), std::string::npos);
}

}  // namespace
}  // namespace athanor::testing

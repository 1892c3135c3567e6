// What goes wrong ends with the exit code of its kind, one line that says why, and nothing half
// written.
#include <filesystem>

#include "tests/cli/cli_support.h"

namespace athanor::testing {
namespace {

TEST_F(CliTest, UnknownKeySuggestsTheNearest) {
  expect_error(train({"learning_rte=1e-3"}), 78, {"learning_rte", "learning_rate"});
}

TEST_F(CliTest, AllConfigurationErrorsComeInOnePass) {
  const ProcessResult result = train({"lora_rnk=4", "max_steps=many", "zero.stage=7"});
  EXPECT_EQ(result.exit_code, 78);
  for (const char* part : {"lora_rnk", "max_steps", "zero.stage"}) {
    EXPECT_NE(result.err.find(part), std::string::npos) << part << " in: " << result.err;
  }
}

TEST_F(CliTest, MissingModelIsAConfigurationError) {
  expect_error(train({"model_name_or_path=/nowhere/model"}), 78, {"/nowhere/model"});
}

TEST_F(CliTest, MissingConfigIsAConfigurationError) {
  expect_error(athanor({"train", folder_ / "no.yaml"}), 78, {"no.yaml"});
}

TEST_F(CliTest, BadDataNamesFileAndLine) {
  spill(folder_ / "bad.jsonl",
        "{\"input_ids\": [1, 2, 3], \"labels\": [1, 2, 3]}\n{\"input_ids\": [1, \n");
  expect_error(train({"dataset=" + (folder_ / "bad.jsonl").string()}), 65, {"bad.jsonl:2"});
  spill(folder_ / "bad.jsonl", "{\"input_ids\": [1, 131], \"labels\": [1, 131]}\n");
  expect_error(train({"dataset=" + (folder_ / "bad.jsonl").string()}), 65, {"bad.jsonl:1", "131"});
}

TEST_F(CliTest, BrokenModelFileIsBadInput) {
  std::filesystem::copy(golden("llama_tied"), folder_ / "model");
  const std::filesystem::path file = folder_ / "model/model.safetensors";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 8);
  expect_error(train({"model_name_or_path=" + (folder_ / "model").string()}), 65,
               {"model.safetensors"});
}

TEST_F(CliTest, InconsistentBatchKeysAreRefused) {
  expect_error(train({"global_batch_size=6", "gradient_accumulation_steps=2"}), 78,
               {"global_batch_size", "6", "4"});
  expect_error(train({"global_batch_size=5"}), 78, {"global_batch_size", "5"});
  EXPECT_EQ(train({"global_batch_size=4", "gradient_accumulation_steps=2"}).exit_code, 0);
}

TEST_F(CliTest, CommandLineErrorsEndWithTwo) {
  const std::string config = folder_ / "config.yaml";
  const std::vector<std::vector<std::string>> wrong = {{},
                                                       {"trian", config},
                                                       {"train"},
                                                       {"train", "--frobnicate", config},
                                                       {"plan", config, "--world", "0"},
                                                       {"plan", config, "--world", "two"},
                                                       {"generate"},
                                                       {"generate", config, "--top-p", "2"},
                                                       {"tokenize"}};
  for (const std::vector<std::string>& arguments : wrong) {
    const ProcessResult result = athanor(arguments);
    EXPECT_EQ(result.exit_code, 2) << ::testing::PrintToString(arguments) << result.err;
    EXPECT_FALSE(result.err.empty()) << ::testing::PrintToString(arguments);
  }
  EXPECT_EQ(athanor({"--help"}).exit_code, 0);
  EXPECT_EQ(athanor({"version"}).out.rfind("athanor ", 0), 0u);
}

TEST_F(CliTest, RunThatDoesNotFitIsRefusedBeforeItTouchesAnything) {
  expect_error(train({"memory_budget=1MiB"}), 71,
               {"bytes", "--force", "cheapest changes: ", "saves "});
  EXPECT_FALSE(std::filesystem::exists(out()));
  std::vector<std::string> forced = train_command({"memory_budget=1MiB", "--force"});
  const ProcessResult result = run_process(forced);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("warning"), std::string::npos);
}

TEST_F(CliTest, DivergenceEndsTheRunOnAnyNumberOfRanks) {
  for (const char* ranks : {"ranks=1", "ranks=2"}) {
    const ProcessResult result =
        train({ranks, "learning_rate=1e30", "max_steps=20", "overwrite_output_dir=true"});
    expect_error(result, 76, {"third step in a row", "learning_rate"});
    for (const char* part :
         {"step skipped (1 in a row", "step skipped (2 in a row", "data.jsonl:"}) {
      EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    }
    EXPECT_EQ(result.err.find("-nan"), std::string::npos) << result.err;
  }
}

// The data are missing as well: they come later.
TEST_F(CliTest, FolderOfTheDiskTierIsLookedAtBeforeDataAreRead) {
  const std::string folder = (folder_ / "missing").string();
  for (const char* ranks : {"ranks=1", "ranks=2"}) {
    expect_error(train({ranks, "zero.offload_optimizer=nvme", "zero.nvme_path=" + folder,
                        "dataset=/nowhere/data.jsonl"}),
                 74, {folder});
  }
  EXPECT_FALSE(std::filesystem::exists(out()));
}

TEST_F(CliTest, DiskTierInMemoryIsWarnedOf) {
  if (!std::filesystem::exists("/dev/shm")) GTEST_SKIP() << "no /dev/shm here";
  const ProcessResult result = train({"zero.offload_optimizer=nvme", "zero.nvme_path=/dev/shm"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("/dev/shm is in memory"), std::string::npos) << result.err;
}

TEST_F(CliTest, ProfileThatCannotBeWrittenIsRefusedBeforeTheRun) {
  const std::string trace = (folder_ / "missing/trace.json").string();
  expect_error(train({"--profile", trace}), 74, {trace});
  EXPECT_FALSE(std::filesystem::exists(out()));
}

// Rank 0 cannot write; the other one must not wait for it for ever.
TEST_F(CliTest, UnwritableOutputEndsAllThreadRanks) {
  spill(folder_ / "file", "in the way");
  for (const char* ranks : {"ranks=1", "ranks=2"}) {
    expect_error(train({ranks, "output_dir=" + (folder_ / "file/out").string()}), 74,
                 {(folder_ / "file/out").string()});
  }
}

TEST_F(CliTest, OutputThatIsAFileIsAConfigurationError) {
  spill(folder_ / "file", "in the way");
  expect_error(train({out_key("file")}), 78, {"output_dir"});
}

// No file may have more than 100 KiB: the adapter (75 KiB) fits, a shard does not.
std::vector<std::string> small_files(const std::vector<std::string>& command) {
  std::vector<std::string> limited = {"sh", "-c", "ulimit -f 200; exec \"$@\"", "sh"};
  limited.insert(limited.end(), command.begin(), command.end());
  return limited;
}

TEST_F(CliTest, OneFailingSaveIsALoudWarning) {
  const ProcessResult result =
      run_process(small_files(train_command({"save_steps=2", "max_steps=3"})));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("CHECKPOINT NOT SAVED after step 2"), std::string::npos) << result.err;
}

TEST_F(CliTest, ThirdFailingSaveInARowEndsAllThreadRanks) {
  const ProcessResult result =
      run_process(small_files(train_command({"ranks=2", "save_steps=2", "max_steps=200"})));
  expect_error(result, 74, {"3 checkpoints in a row", "after step 6", "File too large"});
  // The run went on after the first two, and beside the third.
  EXPECT_GE(log_lines(out()).size(), 6u);
  EXPECT_LT(log_lines(out()).size(), 20u);
}

class MpiCliTest : public CliTest {
 protected:
  void SetUp() override {
    if (const std::string reason = mpirun_missing(); !reason.empty()) GTEST_SKIP() << reason;
  }
  ProcessResult mpirun_train(int ranks, std::vector<std::string> overrides) const {
    return run_process(mpirun_command(ranks, train_command(std::move(overrides))),
                       {mpirun_environment(), ""});
  }
};

TEST_F(MpiCliTest, FailingSaveEndsAllProcesses) {
  spill(out() / "adapter_model.safetensors/folder", "in the way");
  expect_error(mpirun_train(2, {"overwrite_output_dir=true"}), 74, {"adapter_model.safetensors"});
}

TEST_F(MpiCliTest, UnwritableOutputEndsAllProcesses) {
  spill(folder_ / "file", "in the way");
  expect_error(mpirun_train(2, {"output_dir=" + (folder_ / "file/out").string()}), 74,
               {(folder_ / "file/out").string()});
}

TEST_F(MpiCliTest, ConfigurationErrorsAreSaidOnce) {
  expect_error(mpirun_train(2, {"learning_rte=1"}), 78, {"learning_rate"});
  spill(out() / "old", "");
  expect_error(mpirun_train(2, {}), 78, {"not empty"});
  expect_error(mpirun_train(2, {"ranks=2"}), 78, {"ranks"});
}

TEST_F(MpiCliTest, WhatAllRanksFindIsSaidOnce) {
  expect_error(mpirun_train(2, {"learning_rate=1e30", "max_steps=20"}), 76, {"learning_rate"});
  expect_error(mpirun_train(3, {"memory_budget=1MiB", "overwrite_output_dir=true"}), 71,
               {"from memory_budget", "cheapest changes: "});
}

}  // namespace
}  // namespace athanor::testing

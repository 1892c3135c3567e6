// The athanor command as a user has it: a config in a folder of the test's own, the built program,
// its exit code and what it leaves.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temp_folder.h"

namespace athanor::testing {

using Json = nlohmann::ordered_json;

std::filesystem::path golden(const std::string& name);

class CliTest : public ::testing::Test {
 protected:
  // A LoRA run of a few milliseconds on llama_tied, into folder_/out.
  CliTest();

  // `train CONFIG` with overrides behind it.
  std::vector<std::string> train_command(std::vector<std::string> overrides = {}) const;
  ProcessResult train(std::vector<std::string> overrides = {}) const;
  static ProcessResult athanor(std::vector<std::string> arguments, const std::string& input = "");

  // A model with a tokenizer and random weights, made by training it for two steps.
  std::filesystem::path make_model() const;

  std::filesystem::path out() const { return folder_ / "out"; }
  std::string out_key(const std::string& name) const {
    return "output_dir=" + (folder_ / name).string();
  }

  TempFolder folder_;
};

std::vector<Json> log_lines(const std::filesystem::path& folder);
std::vector<double> losses_of(const std::filesystem::path& folder);
std::vector<std::string> keys_of(const Json& object);

// Complete means: both files are there, and every tensor is inside its file.
void expect_complete_adapter(const std::filesystem::path& folder);

// Exit code, and one line of error that has each of `parts`.
void expect_error(const ProcessResult& result, int exit_code,
                  const std::vector<std::string>& parts);

}  // namespace athanor::testing

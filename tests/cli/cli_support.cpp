#include "tests/cli/cli_support.h"

#include <algorithm>
#include <sstream>

#include "runtime/io/safetensors.h"

namespace athanor::testing {

std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(ATHANOR_SOURCE_DIR) / "tests/golden" / name;
}

CliTest::CliTest() {
  const std::filesystem::path model = golden("llama_tied");
  spill(folder_ / "config.yaml", "model_name_or_path: " + model.string() +
                                     "\n"
                                     "dataset: " +
                                     (model / "data.jsonl").string() +
                                     "\n"
                                     "cutoff_len: 32\n"
                                     "per_device_train_batch_size: 2\n"
                                     "learning_rate: 1.0e-3\n"
                                     "max_steps: 3\n"
                                     "logging_steps: 1\n"
                                     "threads: 1\n"
                                     "output_dir: " +
                                     out().string() + "\n");
}

std::vector<std::string> CliTest::train_command(std::vector<std::string> overrides) const {
  std::vector<std::string> command = {ATHANOR_PROGRAM, "train", folder_ / "config.yaml"};
  command.insert(command.end(), overrides.begin(), overrides.end());
  return command;
}

ProcessResult CliTest::train(std::vector<std::string> overrides) const {
  return run_process(train_command(std::move(overrides)));
}

ProcessResult CliTest::athanor(std::vector<std::string> arguments, const std::string& input) {
  std::vector<std::string> command = {ATHANOR_PROGRAM};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_process(command, {{}, input});
}

std::filesystem::path CliTest::make_model() const {
  const std::filesystem::path source =
      std::filesystem::path(ATHANOR_SOURCE_DIR) / "examples/00_pretrain_tiny/model_init";
  const std::filesystem::path init = folder_ / "init";
  std::filesystem::copy(source, init);
  Json config = Json::parse(slurp(source / "config.json"));
  config["hidden_size"] = 48;
  config["intermediate_size"] = 64;
  config["num_hidden_layers"] = 2;
  config["initializer_range"] = 0.5;  // so that greedy text is not one token over and over
  spill(init / "config.json", config.dump());
  spill(folder_ / "text.jsonl",
        "{\"text\": \"The furnace keeps an even heat.\"}\n"
        "{\"text\": \"Nobody watches it for weeks.\"}\n");
  const ProcessResult result =
      train({"model_name_or_path=" + init.string(), "train_from_scratch=true", "stage=pt",
             "finetuning_type=full", "dataset=" + (folder_ / "text.jsonl").string(), "max_steps=2",
             out_key("model")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return folder_ / "model";
}

std::vector<Json> log_lines(const std::filesystem::path& folder) {
  std::istringstream file(slurp(folder / "trainer_log.jsonl"));
  std::vector<Json> lines;
  for (std::string text; std::getline(file, text);) lines.push_back(Json::parse(text));
  return lines;
}

std::vector<double> losses_of(const std::filesystem::path& folder) {
  std::vector<double> losses;
  for (const Json& line : log_lines(folder)) {
    if (line.contains("loss")) losses.push_back(line.at("loss"));
  }
  return losses;
}

std::vector<std::string> keys_of(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& item : object.items()) keys.push_back(item.key());
  return keys;
}

void expect_complete_adapter(const std::filesystem::path& folder) {
  const Json config = Json::parse(slurp(folder / "adapter_config.json"), nullptr, false);
  ASSERT_TRUE(config.is_object()) << "adapter_config.json";
  EXPECT_EQ(config.value("peft_type", ""), "LORA");
  // 3 layers of 7 linear layers with A and B; opening checks every extent.
  EXPECT_EQ(SafetensorsFile(folder / "adapter_model.safetensors").entries().size(), 42u);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    EXPECT_EQ(entry.path().filename().string().find("tmp"), std::string::npos) << entry.path();
  }
}

void expect_error(const ProcessResult& result, int exit_code,
                  const std::vector<std::string>& parts) {
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  std::istringstream lines(result.err);
  std::string error;
  int errors = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("error: ") == std::string::npos) continue;
    ++errors;
    error += line + "\n";
  }
  EXPECT_EQ(errors, 1) << result.err;
  for (const std::string& part : parts) {
    EXPECT_NE(result.err.find(part), std::string::npos)
        << "no \"" << part << "\" in: " << result.err;
  }
}

}  // namespace athanor::testing

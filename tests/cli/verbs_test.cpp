// athanor eval, init and doctor.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "runtime/io/safetensors.h"
#include "tests/cli/cli_support.h"

namespace athanor::testing {
namespace {

Json json_of(const ProcessResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return Json::parse(result.out);
}

// What a run reports at its end about its evaluation share, from the weights it saved.
TEST_F(CliTest, EvalAgreesWithTheRunsOwnEvaluation) {
  for (const char* kind : {"lora", "full"}) {
    const std::vector<std::string> settings = {std::string("finetuning_type=") + kind, "val_size=3",
                                               out_key(kind)};
    ASSERT_EQ(train(settings).exit_code, 0);
    double expected = 0;
    for (const Json& line : log_lines(folder_ / kind)) {
      if (line.contains("eval_loss")) expected = line.at("eval_loss");
    }
    std::vector<std::string> command = {"eval", folder_ / "config.yaml", "--json"};
    command.insert(command.end(), settings.begin(), settings.end());
    const Json tuned = json_of(athanor(command));
    EXPECT_NEAR(tuned.at("loss").get<double>(), expected, 1e-6 * expected) << kind;
    EXPECT_NEAR(tuned.at("perplexity").get<double>(), std::exp(expected), 1e-4);
    EXPECT_EQ(tuned.at("samples"), 3);
    EXPECT_EQ(tuned.at("held_out"), true);
    command.push_back("--base");
    EXPECT_NE(json_of(athanor(command)).at("loss"), tuned.at("loss"));
  }
}

std::vector<float> logits_of(const std::filesystem::path& file) {
  const SafetensorsFile tensors(file);
  const TensorEntry& entry = tensors.entries().at(0);
  std::vector<float> values(static_cast<size_t>(entry.elements()));
  tensors.read(entry, 0, std::as_writable_bytes(std::span(values)));
  return values;
}

struct ExportCase {
  const char* name;
  std::vector<std::string> settings;
};
class ExportTest : public CliTest, public ::testing::WithParamInterface<ExportCase> {};

// The merged model alone says what model and adapter said together.
TEST_P(ExportTest, MergedModelHasTheLogitsOfModelAndAdapter) {
  std::vector<std::string> settings = GetParam().settings;
  settings.emplace_back("learning_rate=0.05");
  ASSERT_EQ(train(settings).exit_code, 0);
  const std::string model = golden("llama_tied");
  const std::string merged = folder_ / "merged";
  const ProcessResult result = athanor({"export", model, "--adapter", out(), "--output", merged});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("read back and equal"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("64 of 64 choose the same token"), std::string::npos) << result.out;
  const std::string ids = "[1, 5, 9, 40, 77, 100]";
  const auto logits = [&](std::vector<std::string> command, const char* file) {
    const std::string path = folder_ / file;
    for (const std::string& word :
         {std::string("--logits-of"), ids, std::string("--logits-file"), path}) {
      command.push_back(word);
    }
    EXPECT_EQ(athanor(command).exit_code, 0);
    return logits_of(path);
  };
  const std::vector<float> base = logits({"generate", model}, "base");
  const std::vector<float> both = logits({"generate", model, "--adapter", out()}, "both");
  const std::vector<float> alone = logits({"generate", merged}, "alone");
  double change = 0;
  double error = 0;
  for (size_t i = 0; i < both.size(); ++i) {
    change = std::max(change, std::abs(static_cast<double>(both[i]) - base[i]));
    error = std::max(error, std::abs(static_cast<double>(both[i]) - alone[i]));
  }
  EXPECT_GT(change, 0.1);
  EXPECT_LT(error, 1e-4 * change);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, ExportTest,
    ::testing::Values(ExportCase{"lora", {}}, ExportCase{"dora", {"use_dora=true"}},
                      ExportCase{"untied_head", {"additional_target=lm_head"}},
                      ExportCase{"shared_embedding", {"additional_target=embed_tokens,lm_head"}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(CliTest, ExportRefusesToHarmWhatIsThere) {
  ASSERT_EQ(train().exit_code, 0);
  const std::string model = golden("llama_tied");
  expect_error(athanor({"export", model, "--adapter", out(), "--output", model}), 78,
               {"is the model itself"});
  expect_error(athanor({"export", model, "--adapter", out(), "--output", out()}), 78,
               {"not an empty folder"});
  expect_error(athanor({"export", golden("llama_untied"), "--adapter", out(), "--output",
                        folder_ / "merged"}),
               65, {"lora_A"});
  EXPECT_FALSE(std::filesystem::exists(folder_ / "merged/config.json"));
}

// Lines of a pipe: the history is part of the second prompt, and /reset takes it away.
TEST_F(CliTest, ChatKeepsTheConversationAndTakesCommands) {
  const std::string model = make_model();
  const auto chat = [&](const std::string& input) {
    const ProcessResult result =
        athanor({"chat", model, "--template", "chatml", "--max-new-tokens", "12"}, input);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  };
  const std::string once = chat("furnace\n");
  EXPECT_FALSE(once.empty());
  EXPECT_EQ(chat("furnace\n/reset\nfurnace\n/quit\nfurnace\n"), once + once);
  EXPECT_NE(chat("furnace\nfurnace\n"), once + once);
  EXPECT_EQ(chat("/tuned\n"), "no --adapter was given\n");
}

TEST_F(CliTest, InitPrintsAConfigThatPlans) {
  const ProcessResult result = athanor({"init", golden("llama_tied")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  spill(folder_ / "first.yaml", result.out);
  const Json plan = json_of(athanor({"plan", folder_ / "first.yaml", "--json"}));
  EXPECT_EQ(plan.at("fits"), true);
  expect_error(athanor({"init", "/nowhere/model"}), 78, {"/nowhere/model"});
}

TEST_F(CliTest, DoctorMeasuresThisMachine) {
  const Json facts = json_of(athanor({"doctor", "--json", "--disk", folder_.path()}));
  EXPECT_GT(facts.at("rates").at("f32_flops"), 0.0);
  EXPECT_GT(facts.at("memory").at("budget_bytes"), 0);
  EXPECT_GT(facts.at("disk").at("write_bytes_per_second"), 0.0);
  EXPECT_TRUE(facts.at("missing").is_array());
  expect_error(athanor({"doctor", "--disk", folder_ / "none"}), 74, {"none"});
}

}  // namespace
}  // namespace athanor::testing

// athanor generate, tokenize and data.
#include <string>

#include "tests/cli/cli_support.h"

namespace athanor::testing {
namespace {

class TextTest : public CliTest {
 protected:
  std::string generate(const std::filesystem::path& model, std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"generate",         model, "--prompt", "The furnace",
                                          "--max-new-tokens", "24"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProcessResult result = athanor(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }
};

TEST_F(TextTest, GenerationIsAFunctionOfItsArguments) {
  const std::filesystem::path model = make_model();
  const std::string greedy = generate(model, {});
  EXPECT_GT(greedy.size(), std::string("The furnace\n").size());
  EXPECT_EQ(generate(model, {"--threads", "1"}), greedy);
  EXPECT_EQ(generate(model, {"--threads", "2", "--seed", "7"}), greedy);
  const std::vector<std::string> sampled = {"--temperature", "1", "--seed", "7"};
  const std::string first = generate(model, sampled);
  EXPECT_EQ(generate(model, sampled), first);
  EXPECT_NE(generate(model, {"--temperature", "1", "--seed", "8"}), first);
}

TEST_F(TextTest, AdapterChangesWhatIsSaid) {
  const std::filesystem::path model = make_model();
  const ProcessResult result =
      train({"model_name_or_path=" + model.string(), "stage=pt", "learning_rate=0.05",
             "max_steps=20", "dataset=" + (folder_ / "text.jsonl").string()});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(generate(model, {"--adapter", out().string()}), generate(model, {}));
}

TEST_F(TextTest, TokenizeGoesThereAndBack) {
  const std::string model =
      std::string(ATHANOR_SOURCE_DIR) + "/examples/00_pretrain_tiny/model_init";
  const std::string text = "Der Ofen hält die Hitze.\n\tTwo  spaces, 東京 and 🔥, 12345!";
  const ProcessResult ids = athanor({"tokenize", model}, text);
  ASSERT_EQ(ids.exit_code, 0) << ids.err;
  EXPECT_GT(Json::parse(ids.out).size(), 10u);
  EXPECT_EQ(athanor({"tokenize", model, "--decode"}, ids.out).out, text);

  const std::string lines = "first line\nsecond line\n";
  const ProcessResult lists = athanor({"tokenize", model, "--lines"}, lines);
  EXPECT_EQ(athanor({"tokenize", model, "--lines", "--decode"}, lists.out).out, lines);
}

TEST_F(TextTest, DataShowsWhatTheModelWillSee) {
  const std::string model = "model_name_or_path=" + std::string(ATHANOR_SOURCE_DIR) +
                            "/examples/00_pretrain_tiny/model_init";
  spill(folder_ / "chat.jsonl",
        "{\"instruction\": \"Hi\\u001b\", \"output\": \"Yo\"}\n"
        "{\"instruction\": \"Hi\\u001b\", \"output\": \"Yo\"}\nbroken\n");
  const std::vector<std::string> command = {"data",
                                            folder_ / "config.yaml",
                                            model,
                                            "dataset=" + (folder_ / "chat.jsonl").string(),
                                            "template=chatml",
                                            "data_cache=" + (folder_ / "kept").string()};
  const ProcessResult shown = athanor(command);
  ASSERT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_NE(shown.out.find("<|im_start|>user\nHi<1B><|im_end|>\n<|im_start|>assistant\n"
                           "⟦Yo<|im_end|>⟧\n"),
            std::string::npos)
      << shown.out;
  EXPECT_NE(shown.out.find("cache: miss, kept in " + (folder_ / "kept").string()),
            std::string::npos)
      << shown.out;
  std::vector<std::string> as_json = command;
  as_json.push_back("--json");
  const Json report = Json::parse(athanor(as_json).out);
  EXPECT_EQ(report.at("cache").at("use"), "hit");
  EXPECT_EQ(report.at("records"), 2);
  EXPECT_EQ(report.at("duplicates"), 1);
  EXPECT_EQ(report.at("bad_records"), 1);
  EXPECT_EQ(report.at("samples").size(), 2u);
  const std::string warnings = report.at("warnings").dump();
  EXPECT_NE(warnings.find("chat.jsonl:3:1"), std::string::npos) << warnings;
}

TEST_F(TextTest, MissingModelIsNamed) {
  expect_error(athanor({"tokenize", "/nowhere"}, "x"), 78, {"/nowhere"});
  expect_error(athanor({"generate", "/nowhere", "--prompt", "x"}), 78, {"/nowhere"});
}

}  // namespace
}  // namespace athanor::testing

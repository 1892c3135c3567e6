// Formats, masks and splits, with a tokenizer whose ids are bytes so that masks count by hand.
#include "runtime/data/dataset.h"

#include <algorithm>

#include "tests/data/data_test_support.h"

namespace athanor {
namespace {

class DatasetTest : public ::testing::Test {
 protected:
  DatasetTest() {
    folder_.write("tokenizer_config.json", R"({"eos_token": "<|endoftext|>"})");
    use(byte_tokenizer_json());
    options_.dataset_dir = folder_.path();
    options_.template_name = "chatml";
  }

  void use(const nlohmann::json& tokenizer) {
    folder_.write("tokenizer.json", tokenizer.dump());
    tokenizer_.emplace(Tokenizer::load(folder_.path()));
  }

  LoadedData load(const std::string& name, std::string_view content) {
    options_.datasets = {folder_.write(name, content)};
    return load_data(options_, &*tokenizer_, kByteTokenizerVocab);
  }

  std::string text_of(const Sample& sample) const {
    return tokenizer_->decode(sample.input_ids, false);
  }
  // The learned tokens as text.
  std::string learned(const Sample& sample) const {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < sample.labels.size(); ++i) {
      if (sample.labels[i] == kNoLoss) continue;
      EXPECT_EQ(sample.labels[i], sample.input_ids[i]);
      ids.push_back(sample.labels[i]);
    }
    return tokenizer_->decode(ids, false);
  }

  TempFolder folder_;
  std::optional<Tokenizer> tokenizer_;
  DataOptions options_;
};

TEST_F(DatasetTest, AlpacaLearnsTheAnswerOnly) {
  const LoadedData data = load("a.json", R"([
    {"instruction": "Add", "input": "1 2", "output": "3"},
    {"instruction": "Hi", "input": "", "output": "Yo", "system": "Be", "history": [["a", "b"]]}])");
  ASSERT_EQ(data.train.size(), 2u);
  EXPECT_EQ(text_of(data.train[0]),
            "<|im_start|>user\nAdd\n1 2<|im_end|>\n<|im_start|>assistant\n3<|im_end|>\n");
  EXPECT_EQ(learned(data.train[0]), "3<|im_end|>");
  EXPECT_EQ(text_of(data.train[1]),
            "<|im_start|>system\nBe<|im_end|>\n<|im_start|>user\na<|im_end|>\n"
            "<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\nYo<|im_end|>\n");
  EXPECT_EQ(learned(data.train[1]), "b<|im_end|>Yo<|im_end|>");
  EXPECT_EQ(data.report.files[0].format, "alpaca");
  EXPECT_EQ(data.report.target_tokens, 2 + 2 + 3);
}

TEST_F(DatasetTest, LabelsBelongToTheirOwnToken) {
  const LoadedData data = load(
      "a.jsonl",
      R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "é"}]})");
  std::vector<int32_t> ids;
  std::vector<int32_t> labels;
  const auto add = [&](std::string_view text, bool learn) {
    for (const int32_t id : tokenizer_->encode(text, false)) {
      ids.push_back(id);
      labels.push_back(learn ? id : kNoLoss);
    }
  };
  add("<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n", false);
  add("\xC3\xA9<|im_end|>", true);
  add("\n", false);
  EXPECT_EQ(data.train[0].input_ids, ids);
  EXPECT_EQ(data.train[0].labels, labels);
}

TEST_F(DatasetTest, MessagesTrainEveryAssistantTurnUnlessHistoryIsMasked) {
  const std::string line =
      R"({"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "v"},)"
      R"( {"role": "user", "content": "w"}, {"role": "assistant", "content": "x"}]})";
  EXPECT_EQ(learned(load("m.jsonl", line).train[0]), "v<|im_end|>x<|im_end|>");
  options_.mask_history = true;
  EXPECT_EQ(learned(load("m.jsonl", line).train[0]), "x<|im_end|>");
  options_.train_on_prompt = true;
  const LoadedData all = load("m.jsonl", line);
  EXPECT_EQ(learned(all.train[0]), text_of(all.train[0]));
}

TEST_F(DatasetTest, BosOfAChatIsTheTemplatesAndOfATextThePostProcessors) {
  nlohmann::json tokenizer = byte_tokenizer_json();
  tokenizer["post_processor"] = nlohmann::json::parse(R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "B"}}, {"Sequence": {"id": "A"}}],
    "special_tokens": {"B": {"ids": [258]}}})");
  use(tokenizer);
  const std::string record = R"({"instruction": "i", "output": "o"})";
  EXPECT_EQ(load("a.jsonl", record).train[0].input_ids[0], 256);
  options_.template_name.clear();
  options_.model_dir = folder_.path();
  folder_.write("chat_template.jinja",
                "<|endoftext|>{% for m in messages %}{{ m.content }}{% endfor %}");
  const LoadedData chat = load("a.jsonl", record);
  EXPECT_EQ(chat.train[0].input_ids, (std::vector<int32_t>{258, 'i', 'o'}));
  EXPECT_EQ(chat.train[0].labels, (std::vector<int32_t>{kNoLoss, kNoLoss, 'o'}));
  const LoadedData text =
      load("t.jsonl", "{\"text\": \"ab\"}\n\n{\"text\": \"<|endoftext|>ab<|endoftext|>\"}\n");
  const std::vector<int32_t> expected = {258, 'a', 'b', 258};
  EXPECT_EQ(text.train[0].input_ids, expected);
  EXPECT_EQ(text.train[1].input_ids, expected);
}

TEST_F(DatasetTest, TextIsLearnedWholeEndsWithEosAndIsSplit) {
  options_.cutoff_len = 4;
  const LoadedData data = load("t.jsonl", "{\"text\": \"abcdefgh\"}\n{\"text\": \"xy\"}\r\n");
  ASSERT_EQ(data.train.size(), 3u);
  EXPECT_EQ(text_of(data.train[0]), "abcd");
  EXPECT_EQ(text_of(data.train[1]), "efgh");
  EXPECT_EQ(text_of(data.train[2]), "xy<|endoftext|>");
  EXPECT_EQ(data.train[2].labels, data.train[2].input_ids);
  // The piece of one token has nothing to predict.
  EXPECT_EQ(data.report.skipped_without_target, 1);
}

TEST_F(DatasetTest, PretrainingLearnsChatsWhole) {
  options_.stage = Stage::kPt;
  const LoadedData data = load("a.jsonl", R"({"instruction": "i", "output": "o"})");
  EXPECT_EQ(text_of(data.train[0]),
            "<|im_start|>user\ni<|im_end|>\n<|im_start|>assistant\no<|im_end|>\n<|endoftext|>");
  EXPECT_EQ(data.train[0].labels, data.train[0].input_ids);
}

TEST_F(DatasetTest, SftIsTruncatedAndSamplesWithoutTargetAreSkipped) {
  options_.cutoff_len = 24;
  const LoadedData data =
      load("a.jsonl",
           "{\"instruction\": \"i\", \"output\": \"long answer\"}\n"
           "{\"instruction\": \"a long long long prompt\", \"output\": \"o\"}\n");
  ASSERT_EQ(data.train.size(), 1u);
  EXPECT_EQ(data.train[0].input_ids.size(), 24u);
  EXPECT_EQ(data.report.truncated, 2);
  EXPECT_EQ(data.report.skipped_without_target, 1);
  EXPECT_EQ(data.report.records, 2);
}

TEST_F(DatasetTest, PretokenisedNeedsNoTokenizer) {
  options_.datasets = {folder_.write("p.jsonl",
                                     "{\"input_ids\": [1, 2, 3]}\n"
                                     "{\"input_ids\": [4, 5], \"labels\": [-100, 5], "
                                     "\"attention_mask\": [1, 1]}\n")};
  const LoadedData data = load_data(options_, nullptr, 6);
  ASSERT_EQ(data.train.size(), 2u);
  EXPECT_EQ(data.train[0].labels, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(data.train[1].labels, (std::vector<int32_t>{-100, 5}));
  EXPECT_EQ(data.report.files[0].format, "pre-tokenised");
}

TEST_F(DatasetTest, DatasetInfoMapsColumns) {
  folder_.write("qa.jsonl", R"({"question": "q", "answer": "a", "instruction": "no"})");
  folder_.write("c4.json", R"([{"text": "abc"}])");
  folder_.write("plain.json", R"([{"instruction": "x", "output": "y"}])");
  folder_.write("dataset_info.json", R"({
    "qa": {"file_name": "qa.jsonl", "columns": {"prompt": "question", "response": "answer"}},
    "c4": {"file_name": "c4.json", "columns": {"prompt": "text"}},
    "plain": {"file_name": "plain.json"}})");
  options_.datasets = {"qa", "c4", "plain"};
  const LoadedData data = load_data(options_, &*tokenizer_, kByteTokenizerVocab);
  ASSERT_EQ(data.train.size(), 3u);
  EXPECT_EQ(text_of(data.train[0]),
            "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n");
  EXPECT_EQ(text_of(data.train[1]), "abc<|endoftext|>");
  EXPECT_EQ(data.report.files[2].format, "alpaca");
}

TEST_F(DatasetTest, MaxSamplesHoldsForEachDataset) {
  options_.max_samples = 2;
  std::string lines;
  for (int i = 0; i < 5; ++i) lines += "{\"text\": \"abc\"}\n";
  // Reading stops before what is broken.
  options_.datasets = {folder_.write("x.jsonl", lines + "{"), folder_.write("y.jsonl", lines)};
  EXPECT_EQ(load_data(options_, &*tokenizer_, kByteTokenizerVocab).train.size(), 4u);
}

TEST_F(DatasetTest, ValidationSplitDependsOnTheSeedOnly) {
  std::string lines;
  for (int i = 0; i < 20; ++i) lines += "{\"text\": \"t" + std::to_string(i) + "\"}\n";
  const auto texts = [&](const std::vector<Sample>& samples) {
    std::vector<std::string> result;
    for (const Sample& sample : samples) result.push_back(text_of(sample));
    return result;
  };
  options_.val_size = 0.15;
  const LoadedData a = load("t.jsonl", lines);
  const LoadedData b = load("t.jsonl", lines);
  EXPECT_EQ(a.eval.size(), 3u);
  EXPECT_EQ(a.train.size(), 17u);
  EXPECT_EQ(texts(a.eval), texts(b.eval));
  std::vector<std::string> together = texts(a.train);
  for (const std::string& text : texts(a.eval)) {
    EXPECT_EQ(std::count(together.begin(), together.end(), text), 0);
  }
  options_.seed = 7;
  EXPECT_NE(texts(load("t.jsonl", lines).eval), texts(a.eval));
  options_.val_size = 5;
  EXPECT_EQ(load("t.jsonl", lines).eval.size(), 5u);
  options_.val_size = 20;
  EXPECT_EQ(error_of([&] { load("t.jsonl", lines); }).kind(), ErrorKind::kConfig);
}

TEST_F(DatasetTest, PiecesOfATextStayOnOneSideOfTheSplit) {
  options_.cutoff_len = 2;
  options_.val_size = 1;
  std::string lines;
  for (const char c : {'a', 'b', 'c'}) lines += "{\"text\": \"" + std::string(7, c) + "\"}\n";
  const LoadedData data = load("t.jsonl", lines);
  EXPECT_EQ(data.eval.size(), 4u);
  for (const Sample& sample : data.train) {
    EXPECT_NE(sample.input_ids[0], data.eval[0].input_ids[0]);
  }
}

TEST_F(DatasetTest, SharegptMapsRolesAndCalls) {
  options_.template_name = "qwen";
  const std::string record =
      R"({"conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "u"},)"
      R"( {"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {\"z\": 1, \"a\": 2}}"},)"
      R"( {"from": "observation", "value": "r"}, {"from": "gpt", "value": "v"}],)"
      R"( "tools": "[{\"name\": \"f\", \"description\": \"d\"}]"})";
  const LoadedData data = load("s.jsonl", record);
  const std::string text = text_of(data.train[0]);
  EXPECT_NE(text.find("<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"f\", "
                      "\"description\": \"d\"}}\n</tools>"),
            std::string::npos)
      << text;
  // The order of the arguments is the record's.
  EXPECT_EQ(
      learned(data.train[0]),
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"z\": 1, \"a\": 2}}\n</tool_call><|im_end|>"
      "v<|im_end|>");
  EXPECT_NE(text.find("<|im_start|>user\n<tool_response>\nr\n</tool_response><|im_end|>"),
            std::string::npos);
  EXPECT_EQ(data.report.files[0].format, "sharegpt");
}

TEST_F(DatasetTest, DatasetInfoNamesColumnsAndTags) {
  folder_.write("s.json", R"([{"talk": [{"who": "U", "what": "u"}, {"who": "A", "what": "v"}],
                               "sys": "S"}])");
  folder_.write("o.json", R"([{"messages": [{"role": "user", "content": "q"},
                                            {"role": "assistant", "content": "a"}]}])");
  folder_.write("dataset_info.json", R"({
    "share": {"file_name": "s.json", "formatting": "sharegpt",
              "columns": {"messages": "talk", "system": "sys"},
              "tags": {"role_tag": "who", "content_tag": "what", "user_tag": "U",
                       "assistant_tag": "A"}},
    "open": {"file_name": "o.json", "formatting": "sharegpt", "columns": {"messages": "messages"},
             "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user",
                      "assistant_tag": "assistant", "system_tag": "system"}},
    "newer": {"file_name": "o.json", "formatting": "openai"}})");
  options_.datasets = {"share", "open", "newer"};
  const LoadedData data = load_data(options_, &*tokenizer_, kByteTokenizerVocab);
  EXPECT_EQ(text_of(data.train[0]),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nu<|im_end|>\n"
            "<|im_start|>assistant\nv<|im_end|>\n");
  EXPECT_EQ(text_of(data.train[1]), text_of(data.train[2]));
  EXPECT_EQ(learned(data.train[1]), "a<|im_end|>");
}

TEST_F(DatasetTest, MessagesHaveToolsPartsAndWeights) {
  options_.template_name = "qwen";
  const LoadedData data = load(
      "m.jsonl",
      R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"},)"
      R"( {"type": "text", "value": "b"}]}, {"role": "assistant", "content": "x", "weight": 0},)"
      R"( {"role": "user", "content": "c"}, {"role": "assistant", "content": null,)"
      R"( "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"k\": 1}"}}]}],)"
      R"( "tools": [{"type": "function", "function": {"name": "f"}}]})");
  EXPECT_NE(text_of(data.train[0]).find("user\nab<|im_end|>"), std::string::npos);
  EXPECT_EQ(learned(data.train[0]),
            "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"k\": 1}}\n</tool_call><|im_end|>");
}

TEST_F(DatasetTest, CompletionsAreLearnedWithEosAndPromptsAreNot) {
  const LoadedData data = load("p.jsonl",
                               "{\"prompt\": \"a b\", \"completion\": \" c\"}\n"
                               "{\"prompt\": [{\"role\": \"user\", \"content\": \"q\"}, "
                               "{\"role\": \"assistant\", \"content\": \"old\"}], \"completion\": "
                               "[{\"role\": \"assistant\", \"content\": \"new\"}]}\n");
  EXPECT_EQ(text_of(data.train[0]), "a b c<|endoftext|>");
  EXPECT_EQ(learned(data.train[0]), " c<|endoftext|>");
  EXPECT_EQ(data.report.files[0].format, "prompt-completion");
  ASSERT_EQ(data.train.size(), 2u);
  EXPECT_EQ(learned(data.train[1]), "new<|im_end|>");
}

TEST_F(DatasetTest, ASampleKnowsItsRecord) {
  options_.datasets = {folder_.write("a.jsonl", "\n{\"text\": \"abcd\"}\n"),
                       folder_.write("b.json", "[\n{\"text\": \"e\"},\n\n {\"text\": \"f\"}]")};
  options_.cutoff_len = 3;
  const LoadedData data = load_data(options_, &*tokenizer_, kByteTokenizerVocab);
  ASSERT_EQ(data.train.size(), 4u);
  const int64_t expected[][2] = {{0, 2}, {0, 2}, {1, 2}, {1, 4}};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(data.train[i].origin.file, expected[i][0]) << i;
    EXPECT_EQ(data.train[i].origin.line, expected[i][1]) << i;
  }
}

TEST_F(DatasetTest, TheReportCountsWhatIsOddAboutChats) {
  nlohmann::json names = {{"bos_token", "<|endoftext|>"}, {"eos_token", "<|im_end|>"}};
  folder_.write("tokenizer_config.json", names.dump());
  use(byte_tokenizer_json());
  options_.template_name.clear();
  options_.model_dir = folder_.path();
  folder_.write("chat_template.jinja",
                "{{ bos_token + bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}");
  const LoadedData odd = load(
      "m.jsonl",
      R"({"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "v"},)"
      R"( {"role": "user", "content": "w"}, {"role": "assistant", "content": "x"}]})");
  EXPECT_EQ(odd.report.chats, 1);
  EXPECT_EQ(odd.report.double_bos, 1);
  EXPECT_EQ(odd.report.last_turn_only, 0);
  options_.template_name = "chatml";
  const LoadedData fine = load("a.jsonl", R"({"instruction": "i", "output": "o"})");
  EXPECT_EQ(fine.report.double_bos, 0);
  EXPECT_EQ(fine.report.ends_trained, 1);
}

TEST(DatasetFiles, LlamaFactoryDemosLoad) {
  const auto data = test_data();
  if (!data) GTEST_SKIP() << "ATHANOR_TEST_DATA is not set to the shared test data";
  const Tokenizer tokenizer = Tokenizer::load(*data / "stories260K/hf");
  DataOptions options;
  options.cutoff_len = 512;
  options.template_name = "alpaca";
  options.model_dir = *data / "stories260K/hf";
  const std::filesystem::path folder = *data / "datasets/llamafactory";
  for (const char* name : {"identity.json", "alpaca_en_demo.json", "c4_demo.jsonl"}) {
    options.datasets.push_back((folder / name).string());
  }
  const LoadedData loaded = load_data(options, &tokenizer, 512);
  ASSERT_EQ(loaded.report.files.size(), 3u);
  EXPECT_EQ(loaded.report.files[0].records, 91);
  EXPECT_EQ(loaded.report.files[1].records, 999);
  EXPECT_EQ(loaded.report.files[2].records, 300);
  const auto text = std::find_if(loaded.train.begin(), loaded.train.end(),
                                 [](const Sample& sample) { return sample.origin.file == 2; });
  ASSERT_NE(text, loaded.train.end());
  EXPECT_EQ(text->input_ids[0], 1);  // text begins with BOS
  EXPECT_GT(loaded.report.target_tokens, 0);
}

}  // namespace
}  // namespace athanor

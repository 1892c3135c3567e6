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

TEST_F(DatasetTest, BosIsThereOnceAndNotLearned) {
  nlohmann::json tokenizer = byte_tokenizer_json();
  tokenizer["post_processor"] = nlohmann::json::parse(R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "B"}}, {"Sequence": {"id": "A"}}],
    "special_tokens": {"B": {"ids": [258]}}})");
  use(tokenizer);
  const LoadedData chat = load("a.jsonl", R"({"instruction": "i", "output": "o"})");
  EXPECT_EQ(chat.train[0].input_ids[0], 258);
  EXPECT_EQ(chat.train[0].labels[0], kNoLoss);
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

TEST(DatasetFiles, LlamaFactoryDemosLoad) {
  const auto data = test_data();
  if (!data) GTEST_SKIP() << "ATHANOR_TEST_DATA is not set to the shared test data";
  const Tokenizer tokenizer = Tokenizer::load(*data / "stories260K/hf");
  DataOptions options;
  options.cutoff_len = 512;
  const std::filesystem::path folder = *data / "datasets/llamafactory";
  for (const char* name : {"identity.json", "alpaca_en_demo.json", "c4_demo.jsonl"}) {
    options.datasets.push_back((folder / name).string());
  }
  const LoadedData loaded = load_data(options, &tokenizer, 512);
  ASSERT_EQ(loaded.report.files.size(), 3u);
  EXPECT_EQ(loaded.report.files[0].records, 91);
  EXPECT_EQ(loaded.report.files[1].records, 999);
  EXPECT_EQ(loaded.report.files[2].records, 300);
  EXPECT_EQ(loaded.train[0].input_ids[0], 1);
  EXPECT_GT(loaded.report.target_tokens, 0);
}

}  // namespace
}  // namespace athanor

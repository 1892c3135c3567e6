// Malformed files: the kind of error, and a one-line message that names the place.
#include <functional>

#include "runtime/data/dataset.h"
#include "runtime/data/record_reader.h"
#include "tests/data/data_test_support.h"

namespace athanor {
namespace {

using nlohmann::json;

void expect_error(const std::function<void()>& body, ErrorKind kind, const std::string& contains) {
  const Error error = error_of(body);
  EXPECT_EQ(error_kind_name(error.kind()), std::string(error_kind_name(kind))) << error.message();
  EXPECT_NE(error.message().find(contains), std::string::npos) << error.message();
  EXPECT_EQ(error.message().find('\n'), std::string::npos) << error.message();
  EXPECT_LT(error.message().size(), 600u) << error.message();
}

struct DatasetCase {
  const char* file;
  const char* content;
  const char* contains;  // after the folder's name
  ErrorKind kind = ErrorKind::kBadInput;
};
std::ostream& operator<<(std::ostream& out, const DatasetCase& c) { return out << c.content; }

class MalformedDataset : public ::testing::TestWithParam<DatasetCase> {};

TEST_P(MalformedDataset, NamesTheLineAndColumn) {
  const TempFolder folder;
  const Tokenizer tokenizer =
      Tokenizer::load(folder.write("tokenizer.json", byte_tokenizer_json().dump()));
  DataOptions options;
  options.template_name = "chatml";
  options.datasets = {folder.write(GetParam().file, GetParam().content)};
  expect_error([&] { load_data(options, &tokenizer, kByteTokenizerVocab); }, GetParam().kind,
               GetParam().contains);
}

INSTANTIATE_TEST_SUITE_P(
    Records, MalformedDataset,
    ::testing::Values(
        DatasetCase{"a.jsonl", "{\"text\": \"a\"}\n{\"text\": }\n", "a.jsonl:2:10: invalid JSON"},
        DatasetCase{"a.jsonl", "{\"text\": \"é\" x}\n", "a.jsonl:1:14: invalid JSON"},
        DatasetCase{"a.jsonl", "{\"text\": \"a\xFF\"}\n", "a.jsonl:1:"},
        DatasetCase{"a.jsonl", "{\"text\": \"a\"}\n  {\"text\": 3}\n",
                    "a.jsonl:2:3: text: expected a string, found number"},
        DatasetCase{"a.jsonl", "{\"text\": \"a\"}\n{\"txt\": \"a\"}\n",
                    "a.jsonl:2:1: field \"text\" is missing"},
        DatasetCase{"a.jsonl", "{\"question\": \"a\"}\n", "a.jsonl:1:1: cannot tell the format"},
        DatasetCase{"a.jsonl", "{}\n", "a.jsonl:1:1: cannot tell the format"},
        DatasetCase{"a.jsonl", "[1]\n", "a.jsonl:1:1: expected an object, found array"},
        DatasetCase{"a.jsonl", "{\"conversations\": []}\n", "conversations: the conversation is"},
        DatasetCase{"a.jsonl", "{\"conversations\": [{\"from\": \"x\", \"value\": \"\"}]}\n",
                    "conversations[0].from: unknown role \"x\" (known: human, gpt, system"},
        DatasetCase{"a.jsonl",
                    "{\"conversations\": [{\"from\": \"function_call\", \"value\": \"{\"}]}\n",
                    "a.jsonl:1:1: conversations[0].value"},
        DatasetCase{"a.jsonl",
                    "{\"conversations\": [{\"from\": \"function_call\", \"value\": \"3\"}]}\n",
                    "conversations[0].value: expected {\"name\": "},
        DatasetCase{
            "a.jsonl",
            "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\"}]}]}\n",
            "messages[0].content[0].type: only parts"},
        DatasetCase{
            "a.jsonl",
            "{\"messages\": [{\"role\": \"assistant\", \"content\": \"\", \"weight\": 0.5}]}\n",
            "messages[0].weight: expected 0 or 1"},
        DatasetCase{"a.jsonl",
                    "{\"messages\": [{\"role\": \"user\", \"content\": \"\"}], \"tools\": 3}\n",
                    "tools: expected a list of tools"},
        DatasetCase{"a.jsonl", "{\"prompt\": \"a\", \"completion\": [1]}\n",
                    "completion: expected a string"},
        DatasetCase{"a.jsonl", "{\"text\": \"a\", \"text\": \"b\"}\n",
                    "a.jsonl:1:1: the key \"text\" stands twice"},
        DatasetCase{"a.jsonl", "{\"text\": \"a\\ud800b\"}\n", "a.jsonl:1:18: invalid JSON"},
        DatasetCase{"a.jsonl", "{\"messages\": []}\n", "messages: the conversation is empty"},
        DatasetCase{"a.jsonl", "{\"messages\": [{\"role\": \"bot\", \"content\": \"\"}]}\n",
                    "messages[0].role: unknown role \"bot\""},
        DatasetCase{"a.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": [1]}]}\n",
                    "messages[0].content[0]: expected an object, found number"},
        DatasetCase{"a.jsonl", "{\"input_ids\": [1, 259]}\n", "input_ids[1]: expected a token id"},
        DatasetCase{"a.jsonl", "{\"input_ids\": [1, -100]}\n", "input_ids[1]"},
        DatasetCase{"a.jsonl", "{\"input_ids\": [1, 1.5]}\n", "input_ids[1]"},
        DatasetCase{"a.jsonl", "{\"input_ids\": [1, 2], \"labels\": [1]}\n",
                    "labels: has 1 entries, input_ids has 2"},
        DatasetCase{"a.jsonl", "{\"input_ids\": [1, 2], \"labels\": [1, -1]}\n", "labels[1]"},
        DatasetCase{"a.jsonl", "{\"input_ids\": [1, 2], \"attention_mask\": [0, 1]}\n",
                    "attention_mask[0]: padding"},
        DatasetCase{"a.jsonl",
                    "{\"instruction\": \"a\", \"output\": \"b\", \"history\": [[\"x\"]]}\n",
                    "history[0]: expected [user, assistant]"},
        DatasetCase{"a.jsonl", "", "nothing to train on"},
        DatasetCase{"a.json", "[]", "nothing to train on"},
        DatasetCase{"a.json", "", "a.json:1:1: expected a JSON array"},
        DatasetCase{"a.json", "{\"text\": \"a\"}", "a.json:1:1: expected a JSON array"},
        DatasetCase{"a.json", "[{\"text\": \"a\"},\n {\"text\": \"b\"", "a.json:2:"},
        DatasetCase{"a.json", "[{\"text\": \"a\"},\n {\"text\": \"b\"}", "a.json:2:15: the array"},
        DatasetCase{"a.json", "[{\"text\": \"a\"},]", "a.json:1:16: expected a record"},
        DatasetCase{"a.json", "[{\"text\": \"a\"}]x", "a.json:1:16: unexpected text"},
        DatasetCase{"a.json", "[\n  {\"text\": \"a\"}\n  {\"text\": \"b\"}]",
                    "a.json:3:3: invalid"},
        DatasetCase{"a.json", "[\n {\"text\": \"a\"},\n {\"text\": 1e999}]", "a.json:3:"},
        DatasetCase{"a.csv", "text\na\n", "a.csv: expected a .json or .jsonl",
                    ErrorKind::kConfig}));

TEST(MalformedDataset, DeepNestingIsRefused) {
  const TempFolder folder;
  DataOptions options;
  options.datasets = {folder.write("a.jsonl", "{\"text\": " + std::string(100000, '[') + "\n")};
  expect_error([&] { load_data(options, nullptr, 1); }, ErrorKind::kBadInput,
               "a.jsonl:1:73: invalid JSON, nested deeper than 64 levels");
}

TEST(MalformedDataset, LongRecordsAreRefused) {
  const TempFolder folder;
  const auto ignore = [](std::string_view, TextPlace) { return true; };
  for (const char* name : {"a.jsonl", "a.json"}) {
    const bool lines = std::string(name) == "a.jsonl";
    const std::string record = "\"" + std::string(100, 'x') + "\"";
    const std::string file =
        folder.write(name, lines ? "1\n" + record + "\n" : "[1,\n" + record + "]");
    EXPECT_NO_THROW(read_record_texts(file, ignore, 102));
    expect_error([&] { read_record_texts(file, ignore, 101); }, ErrorKind::kBadInput,
                 std::string(name) + ":2:1: the record is longer than 101 bytes");
  }
}

TEST(MalformedDataset, ConfigurationErrorsAreConfig) {
  const TempFolder folder;
  const std::string text = folder.write("t.jsonl", "{\"text\": \"abc\"}\n");
  folder.write("dataset_info.json", R"({
    "share": {"file_name": "s.json", "formatting": "odd"},
    "hub": {"hf_hub_url": "a/b"},
    "images": {"file_name": "s.json", "columns": {"images": "image"}},
    "gone": {"file_name": "gone.json"}})");
  DataOptions options;
  options.dataset_dir = folder.path();
  const auto load_with = [&](const std::string& dataset, auto change) {
    DataOptions changed = options;
    if (!dataset.empty()) changed.datasets = {dataset};
    change(changed);
    load_data(changed, nullptr, 300);
  };
  const auto same = [](DataOptions&) {};
  const auto config = [&](const std::string& dataset, auto change, const std::string& contains) {
    expect_error([&] { load_with(dataset, change); }, ErrorKind::kConfig, contains);
  };
  config("", same, "dataset: no dataset given");
  config("./missing.jsonl", same, "missing.jsonl: file not found");
  config("unknown", same, "known: gone, hub, images, share");
  config("gone", same, "gone.json: file not found");
  config(text, same, "t.jsonl:1:1: the record is text, but there is no tokenizer");
  config(
      text, [](DataOptions& o) { o.template_name = "x"; }, "template");
  config(
      text, [](DataOptions& o) { o.cutoff_len = 1; }, "cutoff_len");
  config(
      text, [](DataOptions& o) { o.val_size = 1.5; }, "val_size");
  config(
      text, [](DataOptions& o) { o.val_size = -1; }, "val_size");
  expect_error([&] { load_with("share", same); }, ErrorKind::kBadInput, "\"odd\" is not");
  expect_error([&] { load_with("hub", same); }, ErrorKind::kBadInput, "hub: field \"file_name\"");
  expect_error([&] { load_with("images", same); }, ErrorKind::kBadInput, "images.columns.images");
}

TEST(MalformedDataset, TokenizerLargerThanTheModelIsRefused) {
  const TempFolder folder;
  const Tokenizer tokenizer =
      Tokenizer::load(folder.write("tokenizer.json", byte_tokenizer_json().dump()));
  DataOptions options;
  options.datasets = {folder.write("t.jsonl", "{\"text\": \"az\"}\n")};
  expect_error([&] { load_data(options, &tokenizer, 'z'); }, ErrorKind::kBadInput,
               "t.jsonl:1:1: the tokenizer gives id 122");
}

struct TokenizerCase {
  const char* pointer;  // what to replace; "" removes nothing and replaces the whole file
  const char* value;
  const char* contains;
};
std::ostream& operator<<(std::ostream& out, const TokenizerCase& c) {
  return out << c.pointer << " = " << c.value;
}

class MalformedTokenizer : public ::testing::TestWithParam<TokenizerCase> {};

TEST_P(MalformedTokenizer, NamesFileAndField) {
  const TempFolder folder;
  std::string text = GetParam().value;
  if (*GetParam().pointer != '\0') {
    json config = byte_tokenizer_json();
    config[json::json_pointer(GetParam().pointer)] = json::parse(GetParam().value);
    text = config.dump();
  }
  const std::string file = folder.write("tokenizer.json", text);
  expect_error([&] { Tokenizer::load(file); }, ErrorKind::kBadInput,
               file + ":" + GetParam().contains);
}

INSTANTIATE_TEST_SUITE_P(
    Fields, MalformedTokenizer,
    ::testing::Values(
        TokenizerCase{"", "", "1:1: invalid JSON"}, TokenizerCase{"", "{\"model\": ", "1:"},
        TokenizerCase{"", "[]", " expected an object"},
        TokenizerCase{"", "{}", " field \"model\" is missing"},
        TokenizerCase{"/model", "3", " model: expected an object"},
        TokenizerCase{"/model/type", "\"WordPiece\"", " model: model type \"WordPiece\""},
        TokenizerCase{"/model", "{\"type\": \"Unigram\", \"vocab\": [[\"a\", 0]], \"unk_id\": 1}",
                      " model.unk_id: id 1 is outside the vocabulary of 1"},
        TokenizerCase{"/model", "{\"type\": \"Unigram\", \"vocab\": [[\"a\", 0], [\"b\"]]}",
                      " model.vocab[1]: expected [token, score]"},
        TokenizerCase{"/model", "{\"type\": \"Unigram\", \"vocab\": [[\"a\", 0]], \"alpha\": 0.1}",
                      " model.alpha: sampling"},
        TokenizerCase{"/model", "{\"type\": \"Unigram\", \"vocab\": [[\"a\", 0]]}",
                      " pre_tokenizer: ByteLevel before a model that has no bytes"},
        TokenizerCase{"/model/vocab", "[]", " model.vocab: expected an object"},
        TokenizerCase{"/model/vocab/a", "-1", " model.vocab: token \"a\" needs an id"},
        TokenizerCase{"/model/vocab/a", "4000000000", " model.vocab: token \"a\" needs an id"},
        TokenizerCase{"/model/vocab/a", "\"x\"", " model.vocab: token \"a\" needs an id"},
        TokenizerCase{"/model/merges", "null", " model: field \"merges\" is missing"},
        TokenizerCase{"/model/merges", "[\"a\"]", " model.merges[0]: expected two tokens"},
        TokenizerCase{"/model/merges", "[[\"a\"]]", " model.merges[0]: expected"},
        TokenizerCase{"/model/merges", "[\"a b\"]", " model.merges: merge 0 needs token \"ab\""},
        TokenizerCase{"/model/unk_token", "\"zzz\"", " model.unk_token: token \"zzz\""},
        TokenizerCase{"/model/dropout", "0.1", " model.dropout"},
        TokenizerCase{"/model/end_of_word_suffix", "\"</w>\"", " model.end_of_word_suffix"},
        TokenizerCase{"/normalizer", R"({"type": "Uppercase"})",
                      " normalizer: normalizer type \"Uppercase\""},
        TokenizerCase{"/normalizer", R"({"type": "Sequence", "normalizers": [{"type": "X"}]})",
                      " normalizer.normalizers[0]: normalizer type \"X\""},
        TokenizerCase{"/pre_tokenizer", R"({"type": "Wordspace"})",
                      " pre_tokenizer: pre_tokenizer type \"Wordspace\""},
        TokenizerCase{"/pre_tokenizer",
                      R"({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"})",
                      " pre_tokenizer.pattern.Regex: regular expression"},
        TokenizerCase{"/pre_tokenizer",
                      R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "Odd"})",
                      " pre_tokenizer.behavior: unknown behavior \"Odd\""},
        TokenizerCase{"/post_processor", R"({"type": "OtherProcessing"})",
                      " post_processor: post_processor type \"OtherProcessing\""},
        TokenizerCase{"/post_processor",
                      R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "B"}},
                         {"Sequence": {"id": "A"}}], "special_tokens": {"B": {"ids": [999]}}})",
                      " post_processor: id 999 is not in the vocabulary"},
        TokenizerCase{"/decoder", R"({"type": "CTC"})", " decoder: decoder type \"CTC\""},
        TokenizerCase{"/added_tokens/0/id", "-5", " added_tokens[0].id"},
        TokenizerCase{"/added_tokens/0/content", "7",
                      " added_tokens[0].content: expected a string"}));

TEST(MalformedTokenizer, MissingFilesAreConfig) {
  const TempFolder folder;
  expect_error([&] { Tokenizer::load(folder.path()); }, ErrorKind::kConfig, "tokenizer.json");
}

TEST(MalformedTokenizer, SpecialTokenOutsideTheVocabulary) {
  const TempFolder folder;
  folder.write("tokenizer.json", byte_tokenizer_json().dump());
  folder.write("tokenizer_config.json", R"({"eos_token": "</s>"})");
  expect_error([&] { Tokenizer::load(folder.path()); }, ErrorKind::kBadInput,
               "tokenizer_config.json: eos_token: token \"</s>\"");
}

}  // namespace
}  // namespace athanor

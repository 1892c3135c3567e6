// Training data: .jsonl and .json files, dataset_info.json.
#include "tests/bad_input/scene.h"

namespace athanor::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kGood[] = "{\"input_ids\": [1, 2, 3], \"labels\": [1, 2, 3]}\n";

auto lines(std::string text) {
  return [text = std::move(text)](Scene& s) { s.write("data.jsonl", text); };
}

auto array(std::string text) {
  return [text = std::move(text)](Scene& s) {
    s.write("data.json", text);
    s.set("dataset", s.path("data.json"));
  };
}

auto dataset(std::string value) {
  return [value = std::move(value)](Scene& s) { s.set("dataset", value); };
}

auto named(std::string info) {
  return [info = std::move(info)](Scene& s) {
    s.write("info/dataset_info.json", info);
    s.set("dataset", "mine");
    s.set("dataset_dir", s.path("info"));
  };
}

std::string repeated(const char* line, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += line;
  return text;
}

const BadInput kRecords[] = {
    {"BrokenAtLine10007", 65, "data.jsonl:10007:", "invalid JSON", "near",
     lines(repeated(kGood, 10'006) + "{\"input_ids\": [1, 2, \"labels\": [1]}\n" +
           repeated(kGood, 100))},
    {"CutOffAtTheEnd", 65, "data.jsonl:4:", "invalid JSON", "near",
     lines(repeated(kGood, 3) + "{\"input_ids\": [1")},
    {"NotUtf8", 65, "data.jsonl:2:", "invalid JSON", "UTF-8",
     lines(std::string(kGood) + "{\"text\": \"\xc3\x28\"}\n")},
    {"Nul", 65, "data.jsonl:2:", "invalid JSON", "near",
     lines(std::string(kGood) + std::string("\0\0\0\n", 4))},
    {"DeepNesting", 65, "data.jsonl:1:", "nested deeper", "64 levels",
     lines("{\"text\": " + std::string(200'000, '[') + "\n")},
    {"IdBeyondTheVocabulary", 65, "data.jsonl:2:", "131", "[0, 131)",
     lines(std::string(kGood) + "{\"input_ids\": [1, 131], \"labels\": [1, 131]}\n")},
    {"NegativeId", 65, "data.jsonl:1:", "-1", "[0, 131)",
     lines("{\"input_ids\": [1, -1], \"labels\": [1, -1]}\n")},
    {"IdBeyond32Bits", 65, "data.jsonl:1:", "4294967297", "[0, 131)",
     lines("{\"input_ids\": [1, 4294967297], \"labels\": [1, 1]}\n")},
    {"IdIsAFraction", 65, "data.jsonl:1:", "found \"2.5\"", "a token id in [0, 131)",
     lines("{\"input_ids\": [1, 2.5], \"labels\": [1, 2]}\n")},
    {"FewerLabelsThanIds", 65, "data.jsonl:1:", "labels", "input_ids",
     lines("{\"input_ids\": [1, 2, 3], \"labels\": [1, 2]}\n")},
    {"RecordIsANumber", 65, "data.jsonl:1:1", "found number", "expected an object", lines("5\n")},
    {"UnknownRecord", 65, "data.jsonl:1:1", "", "", lines("{\"foo\": 1}\n")},
    {"OtherFormatLater", 65, "data.jsonl:2:1", "missing", "input_ids",
     lines(std::string(kGood) + "{\"text\": \"abc\"}\n")},
    {"TextWithoutTokenizer", 78, "data.jsonl:1:1", "the record is text", "tokenizer.json",
     lines("{\"text\": \"abc\"}\n")},
    {"ArrayNotClosed", 65, "data.json:", "not closed", "expected , or ]",
     array("[{\"input_ids\": [1, 2], \"labels\": [1, 2]}")},
    {"ArrayIsAnObject", 65, "data.json:1:1", "expected a JSON array", ".jsonl",
     array("{\"a\": 1}")},
    {"TextBehindTheArray", 65, "data.json:1:", "unexpected text", "after the array",
     array("[{\"input_ids\": [1, 2], \"labels\": [1, 2]}] x")},
    {"RecordTooLong", 65, "data.jsonl:1:1", "the record is longer than", "67108864 bytes",
     [](Scene& s) {
       s.write("data.jsonl", "{");
       fs::resize_file(s / "data.jsonl", uintmax_t{80} << 20);
     }},
    {"ArrayElementTooLong", 65, "data.json:1:2", "the record is longer than", "67108864 bytes",
     [](Scene& s) {
       array("[")(s);
       fs::resize_file(s / "data.json", uintmax_t{80} << 20);
     }},
};

ATHANOR_BAD_INPUT(DataRecords, kRecords);

const BadInput kSets[] = {
    {"Empty", 65, "data.jsonl", "nothing to train on", "0 records", lines("")},
    {"EmptyArray", 65, "data.json", "nothing to train on", "0 records", array("[]")},
    {"OnlyEmptyLines", 65, "data.jsonl", "nothing to train on", "0 records", lines("\n\n  \n")},
    {"AllMasked", 65, "data.jsonl", "5 records read", "without a target token",
     lines(repeated("{\"input_ids\": [1, 2, 3], \"labels\": [-100, -100, -100]}\n", 5))},
    {"NothingLeftToTrain", 78, "val_size", "takes 3", "nothing to train on",
     [](Scene& s) {
       lines(repeated(kGood, 3))(s);
       s.set("val_size", "3");
     }},
    {"ValidationIsAFraction", 78, "val_size", "found 1.5", "a whole number",
     [](Scene& s) { s.set("val_size", "1.5"); }},
    {"CutToOneToken", 78, "cutoff_len", "found 1", "at least 2",
     [](Scene& s) { s.set("cutoff_len", "1"); }},
    {"Missing", 78, "/nowhere/data.jsonl", "file not", "found", dataset("/nowhere/data.jsonl")},
    {"IsAFolder", 78, "data.jsonl", "not a regular", "file",
     [](Scene& s) { s.make_folder("data.jsonl"); }},
    {"IsAFifo", 78, "data.jsonl", "not a regular", "file",
     [](Scene& s) { s.make_fifo("data.jsonl"); }},
    {"Unreadable", 74, "data.jsonl", "cannot open", "Permission denied",
     [](Scene& s) {
       fs::permissions(s / "data.jsonl", fs::perms::none);
       s.without_privileges();
     }},
    {"OtherEnding", 78, "./data.parquet", "found ending \".parquet\"", "a .json or .jsonl file",
     dataset("./data.parquet")},
    {"NoneNamed", 78, "dataset", "", "", dataset("[]")},
};

ATHANOR_BAD_INPUT(DataSets, kSets);

const BadInput kInfos[] = {
    {"NameWithoutInfo", 78, "dataset: \"mine\"", "there is no", "dataset_info.json",
     [](Scene& s) {
       s.set("dataset", "mine");
       s.set("dataset_dir", s.path("info"));
     }},
    {"UnknownName", 78, "dataset_info.json", "\"mine\" is not in", "known: other",
     named(R"({"other": {"file_name": "a.json"}})")},
    {"InfoIsNoJson", 65, "dataset_info.json:1:", "invalid JSON", "near", named("{\"mine\": ")},
    {"InfoIsAList", 65, "dataset_info.json", "found array", "expected an object", named("[]")},
    {"InfoIsAFifo", 78, "dataset_info.json", "not a regular", "file",
     [](Scene& s) {
       named("{}")(s);
       s.make_fifo("info/dataset_info.json");
     }},
    {"InfoTooLarge", 65, "dataset_info.json", "found 209715200 bytes", "at most",
     [](Scene& s) {
       named("{}")(s);
       fs::resize_file(s / "info/dataset_info.json", uintmax_t{200} << 20);
     }},
    {"NoFileName", 65, "dataset_info.json: mine", "\"file_name\" is missing", "get the file first",
     named(R"({"mine": {"hf_hub_url": "a/b"}})")},
    {"FileNameIsANumber", 65, "mine.file_name", "found number", "expected a string",
     named(R"({"mine": {"file_name": 3}})")},
    {"FileIsGone", 78, "gone.json", "file not", "found",
     named(R"({"mine": {"file_name": "gone.json"}})")},
    {"UnknownFormatting", 65, "mine.formatting", "\"odd\" is not supported",
     "known:", named(R"({"mine": {"file_name": "a.json", "formatting": "odd"}})")},
    {"UnknownKey", 65, "mine.subset", "this key", "not supported",
     named(R"({"mine": {"file_name": "a.json", "subset": "x"}})")},
};

ATHANOR_BAD_INPUT(DatasetInfo, kInfos);

}  // namespace
}  // namespace athanor::testing

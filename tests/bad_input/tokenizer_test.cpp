// tokenizer.json and its neighbours, and texts and ids on standard input.
#include "tests/bad_input/scene.h"

namespace athanor::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kFile[] = "text/tokenizer.json";

// athanor tokenize on a good folder, which `spoil` changes first.
auto tokenize(std::function<void(Scene&)> spoil) {
  return [spoil = std::move(spoil)](Scene& s) {
    s.arguments = {"tokenize", s.add_tokenizer()};
    s.input = "hello";
    spoil(s);
  };
}

auto file(std::string text) {
  return tokenize([text = std::move(text)](Scene& s) { s.write(kFile, text); });
}

auto with(const char* pointer, Json value) {
  return tokenize([pointer, value = std::move(value)](Scene& s) {
    s.edit_json(kFile, [&](Json& document) { document[Json::json_pointer(pointer)] = value; });
  });
}

auto standard_input(std::string text, std::vector<std::string> flags = {}) {
  return tokenize([text = std::move(text), flags = std::move(flags)](Scene& s) {
    s.input = text;
    s.arguments.insert(s.arguments.end(), flags.begin(), flags.end());
  });
}

const BadInput kFiles[] = {
    {"Missing", 78, "tokenizer.json", "file not", "found",
     tokenize([](Scene& s) { fs::remove(s / kFile); })},
    {"IsAFolder", 78, "tokenizer.json", "not a regular", "file",
     tokenize([](Scene& s) { s.make_folder(kFile); })},
    {"IsAFifo", 78, "tokenizer.json", "not a regular", "file",
     tokenize([](Scene& s) { s.make_fifo(kFile); })},
    {"Unreadable", 74, "tokenizer.json", "cannot read", "Permission denied", tokenize([](Scene& s) {
       fs::permissions(s / kFile, fs::perms::none);
       s.without_privileges();
     })},
    {"TooLarge", 65, "tokenizer.json", "found 5368709120 bytes", "at most 134217728",
     tokenize([](Scene& s) { fs::resize_file(s / kFile, uintmax_t{5} << 30); })},
    {"Empty", 65, "tokenizer.json:1:1", "invalid JSON", "unexpected end", file("")},
    {"CutOff", 65, "tokenizer.json:", "invalid JSON", "near",
     tokenize([](Scene& s) { fs::resize_file(s / kFile, 5000); })},
    {"DeepNesting", 65, "tokenizer.json:1:", "nested deeper", "64 levels",
     file("{\"model\":" + std::string(300'000, '{'))},
    {"NoModel", 65, "tokenizer.json", "field \"model\"", "missing", file("{}")},
    {"OtherModel", 65, "tokenizer.json: model", "WordPiece", "BPE",
     with("/model/type", "WordPiece")},
    {"IdBeyond32Bits", 65, "tokenizer.json: model.vocab", "needs an id", "token",
     with("/model/vocab/a", 4294967296)},
    {"HugeId", 65, "tokenizer.json: model.vocab", "needs an id", "token",
     with("/model/vocab/a", 2147483647)},
    {"NegativeAddedId", 65, "tokenizer.json: added_tokens[0].id", "found -1", "expected an id",
     with("/added_tokens/0/id", -1)},
    {"MergeOfUnknownTokens", 65, "tokenizer.json: model.merges", "needs token", "qqqzzz",
     with("/model/merges", {"qqq zzz"})},
    {"BrokenPattern", 65, "tokenizer.json: pre_tokenizer", "regular expression", "at byte",
     with("/pre_tokenizer", {{"type", "Split"},
                             {"pattern", {{"Regex", "("}}},
                             {"behavior", "Isolated"},
                             {"invert", false}})},
    {"UnknownEndOfText", 65, "tokenizer_config.json: eos_token", "\"</nope>\"",
     "not in the vocabulary", tokenize([](Scene& s) {
       s.write("text/tokenizer_config.json", R"({"eos_token": "</nope>"})");
     })},
    {"EndOfTextIsANumber", 65, "tokenizer_config.json", "found number", "expected a string",
     tokenize([](Scene& s) { s.write("text/tokenizer_config.json", R"({"eos_token": 5})"); })},
};

ATHANOR_BAD_INPUT(TokenizerFile, kFiles);

const BadInput kStreams[] = {
    {"TextIsNotUtf8", 65, "standard input", "not valid UTF-8", "at byte 2",
     standard_input("ab\xff")},
    {"LineIsNotUtf8", 65, "standard input:3", "not valid UTF-8", "at byte 1",
     standard_input("ab\ncd\nx\xff\n", {"--lines"})},
    {"IdsAreNoJson", 65, "standard input", "not valid JSON", "unexpected",
     standard_input("[1, 2", {"--decode"})},
    {"IdsAreAnObject", 65, "standard input", "found {\"a\":1}", "a JSON list of token ids",
     standard_input("{\"a\": 1}", {"--decode"})},
    {"IdIsNegative", 65, "standard input", "found -7", "a JSON list of token ids",
     standard_input("[-7]", {"--decode"})},
    {"IdIsBeyond32Bits", 65, "standard input:2", "found 4294967361", "a JSON list of token ids",
     standard_input("[1]\n[4294967361]\n", {"--decode", "--lines"})},
    {"IdIsAFraction", 65, "standard input", "found 1.5", "a JSON list of token ids",
     standard_input("[1.5]", {"--decode"})},
    {"IdsAreNested", 65, "standard input", "nested deeper", "64 levels",
     standard_input(std::string(100'000, '['), {"--decode"})},
    {"PromptIsNotUtf8", 65, "--prompt", "not valid UTF-8", "at byte 0",
     [](Scene& s) {
       s.arguments = {"generate", s.add_tokenizer(), "--prompt", "\xff"};
     }},
    {"LogitsBeyondTheVocabulary", 65, "--logits-of", "id 131", "the vocabulary of 131",
     [](Scene& s) {
       s.arguments = {"generate", s.path("model"), "--logits-of",
                      "[131]",    "--logits-file", s.path("logits")};
     }},
    {"LogitsBeyond32Bits", 65, "--logits-of", "found 4294967297", "a JSON list of token ids",
     [](Scene& s) {
       s.arguments = {"generate",     s.path("model"), "--logits-of",
                      "[4294967297]", "--logits-file", s.path("logits")};
     }},
};

ATHANOR_BAD_INPUT(TokenStreams, kStreams);

}  // namespace
}  // namespace athanor::testing

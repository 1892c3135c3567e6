// StreamDecoder: whole characters, spaces as in the whole text.
#include "runtime/data/tokenizer.h"
#include "runtime/data/utf8.h"
#include "tests/data/data_test_support.h"

namespace athanor {
namespace {

Tokenizer byte_tokenizer() {
  const TempFolder folder;
  return Tokenizer::load(folder.write("tokenizer.json", byte_tokenizer_json().dump()));
}

// SentencePiece form: ▁ 0, a 1, b 2, ▁a 3, ▁b 4, bytes from 5.
Tokenizer sentencepiece_tokenizer() {
  nlohmann::json vocab = {{"▁", 0}, {"a", 1}, {"b", 2}, {"▁a", 3}, {"▁b", 4}};
  constexpr char kHex[] = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    vocab[std::string("<0x") + kHex[byte >> 4] + kHex[byte & 15] + ">"] = 5 + byte;
  }
  const nlohmann::json config = {
      {"normalizer",
       {{"type", "Sequence"},
        {"normalizers",
         {{{"type", "Prepend"}, {"prepend", "▁"}},
          {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}}}}},
      {"decoder",
       {{"type", "Sequence"},
        {"decoders",
         {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
          {{"type", "ByteFallback"}},
          {{"type", "Fuse"}},
          {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
      {"model",
       {{"type", "BPE"}, {"byte_fallback", true}, {"vocab", vocab}, {"merges", {"▁ a", "▁ b"}}}}};
  const TempFolder folder;
  return Tokenizer::load(folder.write("tokenizer.json", config.dump()));
}

TEST(StreamDecoder, NeverPrintsHalfACharacter) {
  for (const Tokenizer& tokenizer : {byte_tokenizer(), sentencepiece_tokenizer()}) {
    for (const std::string text : {"é", "🚀 ab", "a日本語b", "ab 👩‍👩", "\nа"}) {
      StreamDecoder stream(tokenizer);
      std::string printed;
      for (const int32_t id : tokenizer.encode(text, false)) {
        const std::string part = stream.put(id);
        EXPECT_FALSE(first_invalid_utf8(part)) << text;
        printed += part;
      }
      EXPECT_EQ(printed, text);
      EXPECT_EQ(stream.flush(), "");
    }
  }
}

TEST(StreamDecoder, BrokenBytesComeOutAsReplacementCharacters) {
  const Tokenizer tokenizer = byte_tokenizer();
  StreamDecoder stream(tokenizer);
  EXPECT_EQ(stream.put('x'), "x");
  EXPECT_EQ(stream.put(0xF0), "");
  EXPECT_EQ(stream.put('y'), "\xEF\xBF\xBDy");
  EXPECT_EQ(stream.put(0xC3), "");
  EXPECT_EQ(stream.flush(), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.flush(), "");
  EXPECT_EQ(stream.put('z'), "z");
}

TEST(StreamDecoder, EndlessBrokenBytesAreNotHeldBack) {
  for (const Tokenizer& tokenizer : {byte_tokenizer(), sentencepiece_tokenizer()}) {
    const int32_t broken = *tokenizer.token_to_id(
        tokenizer.token_to_id("<0xFF>") ? "<0xFF>" : byte_level_character(0xFF));
    StreamDecoder stream(tokenizer);
    std::string printed;
    for (int i = 0; i < 40; ++i) printed += stream.put(broken);
    EXPECT_GT(printed.size(), 30u * 3);
    EXPECT_EQ(printed + stream.flush(), tokenizer.decode(std::vector<int32_t>(40, broken), true));
  }
}

TEST(StreamDecoder, LeadingSpaceIsKeptAfterAContext) {
  const Tokenizer tokenizer = sentencepiece_tokenizer();
  const std::vector<int32_t> ids = tokenizer.encode("a b a", false);
  EXPECT_EQ(ids, (std::vector<int32_t>{3, 4, 3}));
  StreamDecoder alone(tokenizer);
  EXPECT_EQ(alone.put(3), "a");
  EXPECT_EQ(alone.put(4), " b");
  StreamDecoder after(tokenizer, true, std::vector<int32_t>{3});
  EXPECT_EQ(after.put(4), " b");
  EXPECT_EQ(after.put(0), " ");
  EXPECT_EQ(after.put(1), "a");
}

TEST(StreamDecoder, SkipsSpecialTokens) {
  const Tokenizer tokenizer = byte_tokenizer();
  StreamDecoder skipping(tokenizer);
  EXPECT_EQ(skipping.put(257), "");
  StreamDecoder showing(tokenizer, false);
  EXPECT_EQ(showing.put(257), "<|im_end|>");
}

}  // namespace
}  // namespace athanor

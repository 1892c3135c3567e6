// Ids and texts against other implementations: the Hugging Face library, llama.cpp, llama2.c.
#include <sstream>

#include "runtime/data/tokenizer.h"
#include "tests/data/data_test_support.h"

namespace athanor {
namespace {

std::vector<std::string> lines_of(const std::filesystem::path& file) {
  std::istringstream in(read_all(file));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<int32_t> ids_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<int32_t> ids;
  for (int32_t id = 0; in >> id;) ids.push_back(id);
  return ids;
}

std::string stream_of(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  StreamDecoder stream(tokenizer, false);
  std::string text;
  for (const int32_t id : ids) text += stream.put(id);
  return text + stream.flush();
}

// The text comes back, whole and streamed.
void expect_round_trip(const Tokenizer& tokenizer, const std::string& text,
                       const std::vector<int32_t>& ids) {
  EXPECT_EQ(tokenizer.decode(ids, false), text);
  EXPECT_EQ(stream_of(tokenizer, ids), text);
}

void expect_spans_cover(const Tokenizer& tokenizer, const std::string& text) {
  const Encoding encoding = tokenizer.encode_with_spans(text, true);
  ASSERT_EQ(encoding.ids.size(), encoding.spans.size());
  int64_t at = 0;
  for (const ByteSpan span : encoding.spans) {
    EXPECT_LE(span.begin, at) << text;
    at = std::max(at, span.end);
  }
  EXPECT_EQ(at, static_cast<int64_t>(text.size())) << text;
}

TEST(TokenizerGolden, Stories260KMatchesLlama2C) {
  const auto data = test_data();
  if (!data) GTEST_SKIP() << "ATHANOR_TEST_DATA is not set to the shared test data";
  const Tokenizer tokenizer = Tokenizer::load(*data / "stories260K/hf");
  const auto lines = lines_of(*data / "stories260K/golden/tok512_lines.txt");
  const auto golden = lines_of(*data / "stories260K/golden/tok512_ids.txt");
  ASSERT_EQ(lines.size(), golden.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::vector<int32_t> ids = tokenizer.encode(lines[i], true);
    EXPECT_EQ(ids, ids_of(golden[i])) << lines[i];
    expect_round_trip(tokenizer, lines[i], tokenizer.encode(lines[i], false));
    expect_spans_cover(tokenizer, lines[i]);
  }
}

struct VectorCase {
  const char* tokenizer;
  const char* vectors;
};
std::ostream& operator<<(std::ostream& out, const VectorCase& c) { return out << c.vectors; }

class LlamaCppVectors : public ::testing::TestWithParam<VectorCase> {};

TEST_P(LlamaCppVectors, IdsAreEqual) {
  const auto data = test_data();
  if (!data) GTEST_SKIP() << "ATHANOR_TEST_DATA is not set to the shared test data";
  const Tokenizer tokenizer = Tokenizer::load(*data / "tokenizers" / GetParam().tokenizer);
  const std::filesystem::path folder = *data / "vectors/llama.cpp";
  const std::string all = read_all(folder / "all.inp");
  const std::string mark = "\n__ggml_vocab_test__\n";
  const auto golden = lines_of(folder / (std::string(GetParam().vectors) + ".out"));
  size_t begin = 0;
  size_t checked = 0;
  for (; begin < all.size() && checked < golden.size(); ++checked) {
    const size_t end = std::min(all.find(mark, begin), all.size());
    const std::string text = all.substr(begin, end - begin);
    const std::vector<int32_t> ids = tokenizer.encode(text, false);
    EXPECT_EQ(ids, ids_of(golden[checked])) << "text " << checked << ": " << text;
    expect_round_trip(tokenizer, text, ids);
    expect_spans_cover(tokenizer, text);
    begin = end + mark.size();
  }
  EXPECT_EQ(checked, golden.size());
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, LlamaCppVectors,
                         ::testing::Values(VectorCase{"gpt2", "gpt-2"},
                                           VectorCase{"llama3_1", "llama-bpe"},
                                           VectorCase{"qwen3", "qwen2"}));

class HuggingFaceVectors : public ::testing::TestWithParam<VectorCase> {};

TEST_P(HuggingFaceVectors, IdsAreEqual) {
  const auto data = test_data();
  if (!data) GTEST_SKIP() << "ATHANOR_TEST_DATA is not set to the shared test data";
  const Tokenizer tokenizer = Tokenizer::load(*data / "tokenizers" / GetParam().tokenizer);
  const auto texts = lines_of(*data / "vectors/texts.jsonl");
  const auto golden =
      lines_of(*data / "vectors" / (std::string(GetParam().vectors) + ".ids.jsonl"));
  ASSERT_EQ(texts.size(), golden.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = nlohmann::json::parse(texts[i])["text"];
    const std::vector<int32_t> ids = tokenizer.encode(text, false);
    EXPECT_EQ(ids, nlohmann::json::parse(golden[i])["ids"].get<std::vector<int32_t>>()) << i;
    expect_round_trip(tokenizer, text, ids);
    expect_spans_cover(tokenizer, text);
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, HuggingFaceVectors,
                         ::testing::Values(VectorCase{"llama2", "llama2"},
                                           VectorCase{"qwen3", "qwen3"}));

// Made by tools/make_tokenizer_goldens.py.
TEST(TokenizerGolden, OwnTokenizersMatchHuggingFace) {
  const TempFolder folder;
  int64_t checked = 0;
  for (const std::string& line :
       lines_of(std::filesystem::path(ATHANOR_SOURCE_DIR) / "tests/data/tokenizer_golden.jsonl")) {
    const auto golden = nlohmann::json::parse(line);
    const Tokenizer tokenizer =
        Tokenizer::load(folder.write("tokenizer.json", golden["tokenizer"].dump()));
    for (int round = 0; round < 2; ++round) {  // the second time from the cache of words
      for (const auto& [text, ids] :
           golden["cases"].get<std::vector<std::pair<std::string, std::vector<int32_t>>>>()) {
        EXPECT_EQ(tokenizer.encode(text, false), ids) << golden["name"] << ": " << text;
        ++checked;
      }
    }
  }
  EXPECT_GE(checked, 800);
}

TEST(TokenizerGolden, SpecialTokensComeFromTheConfigFiles) {
  const auto data = test_data();
  if (!data) GTEST_SKIP() << "ATHANOR_TEST_DATA is not set to the shared test data";
  const Tokenizer stories = Tokenizer::load(*data / "stories260K/hf");
  EXPECT_EQ(stories.bos_id(), 1);
  EXPECT_EQ(stories.eos_ids(), std::vector<int32_t>{2});
  EXPECT_EQ(stories.vocab_size(), 512);
  EXPECT_EQ(stories.prefix_ids(), std::vector<int32_t>{1});
  const Tokenizer qwen = Tokenizer::load(*data / "tokenizers/qwen3/tokenizer.json");
  EXPECT_EQ(qwen.eos_token(), "<|im_end|>");
  EXPECT_EQ(qwen.bos_id(), std::nullopt);
  EXPECT_TRUE(qwen.is_special(*qwen.token_to_id("<|im_start|>")));
}

}  // namespace
}  // namespace athanor

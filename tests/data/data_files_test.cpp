// What files may hold and how several of them are mixed: odd bytes, bad records, compression.
#include <zstd.h>

#include <algorithm>

#include "runtime/data/dataset.h"
#include "runtime/data/record_reader.h"
#include "tests/data/data_test_support.h"

namespace athanor {
namespace {

class DataFiles : public ::testing::Test {
 protected:
  DataFiles()
      : tokenizer_(Tokenizer::load(folder_.write("tokenizer.json", byte_tokenizer_json().dump()))) {
    options_.stage = Stage::kPt;  // every byte is a token that is learned
  }

  LoadedData load(const std::string& name, std::string_view content) {
    options_.datasets = {folder_.write(name, content)};
    return load_data(options_, &tokenizer_, kByteTokenizerVocab);
  }
  std::vector<std::string> texts(const std::vector<Sample>& samples) const {
    std::vector<std::string> result;
    for (const Sample& sample : samples) {
      result.push_back(tokenizer_.decode(sample.input_ids, false));
    }
    return result;
  }
  // A .jsonl of the texts "<letter>0", "<letter>1", …
  std::string set(char letter, int count) {
    std::string lines;
    for (int i = 0; i < count; ++i) {
      lines += "{\"text\": \"" + std::string(1, letter) + std::to_string(i) + "\"}\n";
    }
    return folder_.write(std::string(1, letter) + ".jsonl", lines);
  }
  std::string mixed() {
    std::string order;
    for (const std::string& text :
         texts(load_data(options_, &tokenizer_, kByteTokenizerVocab).train)) {
      order += text + " ";
    }
    return order;
  }

  TempFolder folder_;
  Tokenizer tokenizer_;
  DataOptions options_;
};

std::string compressed(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

TEST_F(DataFiles, ByteOrderMarksAndLineEndsAreNotText) {
  const std::vector<std::string> expected = {"ab", "cd"};
  EXPECT_EQ(
      texts(load("a.jsonl", "\xEF\xBB\xBF{\"text\": \"ab\"}\r\n\r\n{\"text\": \"cd\"}").train),
      expected);
  EXPECT_EQ(
      texts(load("a.json", "\xEF\xBB\xBF \r\n[{\"text\": \"ab\"}\r\n,\r\n{\"text\": \"cd\"}]\r\n")
                .train),
      expected);
  // Files put together have marks at the beginning of a line.
  EXPECT_EQ(texts(load("a.jsonl", "{\"text\": \"ab\"}\n\xEF\xBB\xBF{\"text\": \"cd\"}\n").train),
            expected);
  EXPECT_THROW(load("a.jsonl", "{\"text\": \"ab\"} \xEF\xBB\xBF\n"), Error);
}

TEST_F(DataFiles, EscapesAreTextAndRawControlCharactersAreNot) {
  using namespace std::string_literals;
  EXPECT_EQ(texts(load("a.jsonl", R"({"text": "a\u0000b\ud83d\ude00"})").train)[0],
            "a\0b\xF0\x9F\x98\x80"s);
  for (const std::string& text : {"a\0b"s, "a\x01b"s, "a\xFF"s, "a\xED\xA0\x80"s, "\\ud800"s,
                                  "\\udc00x"s, "\\ud800\\u0041"s}) {
    const Error error =
        error_of([&] { load("a.jsonl", "{\"text\": \"ok\"}\n{\"text\": \"" + text + "\"}\n"); });
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_NE(error.message().find("a.jsonl:2:"), std::string::npos) << error.message();
    EXPECT_NE(error.message().find("near \""), std::string::npos) << error.message();
  }
}

TEST_F(DataFiles, AKeyThatStandsTwiceIsAnError) {
  for (const char* record :
       {R"({"text": "a", "text": "b"})", R"({"text": "a", "x": [{"k": 1, "k": 1}]})"}) {
    const Error error = error_of([&] { load("a.jsonl", record); });
    EXPECT_NE(error.message().find("stands twice"), std::string::npos) << error.message();
  }
  EXPECT_EQ(load("a.jsonl", R"({"text": "a:b \":", "x": [{"k": 1}, {"k": 2}]})").train.size(), 1u);
}

TEST_F(DataFiles, SkipBadCountsListsAndGoesOn) {
  const std::string lines =
      "{\"text\": }\n{\"text\": \"ab\"}\n{\"text\": 3}\n{\"text\": \"cd\"}\n{\"other\": 1}\n";
  EXPECT_THROW(load("a.jsonl", lines), Error);
  options_.skip_bad = true;
  const LoadedData data = load("a.jsonl", lines);
  EXPECT_EQ(texts(data.train), (std::vector<std::string>{"ab", "cd"}));
  EXPECT_EQ(data.report.records, 2);
  EXPECT_EQ(data.report.bad_records, 3);
  ASSERT_EQ(data.report.bad.size(), 3u);
  EXPECT_NE(data.report.bad[0].find("a.jsonl:1:10"), std::string::npos);
  EXPECT_NE(data.report.bad[1].find("a.jsonl:3:1: text: expected a string, found number, in "
                                    "\"{\"text\": 3}\""),
            std::string::npos)
      << data.report.bad[1];
  EXPECT_FALSE(data_warnings(data.report).empty());
  const Error none = error_of([&] { load("b.jsonl", "{\"text\": 3}\n"); });
  EXPECT_NE(none.message().find("1 bad records, first "), std::string::npos) << none.message();
}

// Threads build blocks of records; what comes of it is what one thread makes.
TEST_F(DataFiles, AnyNumberOfThreadsMakesTheSame) {
  std::string lines;
  for (int i = 0; i < 1000; ++i) {
    lines += i % 97 == 5 ? "{\"text\": 3}\n" : "{\"text\": \"t" + std::to_string(i) + "\"}\n";
  }
  options_.datasets = {folder_.write("a.jsonl", lines)};
  const auto load_with = [&](int workers) {
    return load_data(options_, &tokenizer_, kByteTokenizerVocab, workers);
  };
  const Error one = error_of([&] { load_with(1); });
  const Error three = error_of([&] { load_with(3); });
  EXPECT_NE(one.message().find("a.jsonl:6:1"), std::string::npos);
  EXPECT_EQ(one.message(), three.message());
  options_.skip_bad = true;
  for (const int64_t max_samples : {0, 1, 300}) {
    options_.max_samples = max_samples;
    const LoadedData a = load_with(1);
    const LoadedData b = load_with(3);
    EXPECT_EQ(a.report.records, max_samples == 0 ? 989 : max_samples);
    EXPECT_EQ(texts(a.train), texts(b.train));
    EXPECT_EQ(a.train.back().origin.line, b.train.back().origin.line);
    EXPECT_EQ(a.report.records, b.report.records);
    EXPECT_EQ(a.report.bad, b.report.bad);
    EXPECT_EQ(a.report.bad_records, b.report.bad_records);
  }
  // What breaks the file counts after the records before it, and not at all behind max_samples.
  options_.datasets = {folder_.write("b.json", "[{\"text\": \"ab\"}, {\"text\": \"cd\"}, ")};
  options_.max_samples = 2;
  EXPECT_EQ(load_with(3).train.size(), 2u);
  options_.max_samples = 0;
  EXPECT_THROW(load_with(3), Error);
}

TEST_F(DataFiles, CompressedFilesReadAsTheirContent) {
  std::string lines;
  std::string array = "[";
  const std::string note(360, 'x');  // not read
  for (int i = 0; i < 4000; ++i) {
    const std::string record =
        "{\"text\": \"n" + std::to_string(i) + "\", \"note\": \"" + note + "\"}";
    lines += record + "\n";
    array += (i > 0 ? ",\n " : "") + record;
  }
  array += "]";
  const std::vector<std::string> expected = texts(load("a.jsonl", lines).train);
  ASSERT_EQ(expected.size(), 4000u);
  EXPECT_EQ(texts(load("a.jsonl.zst", compressed(lines)).train), expected);
  // Two frames, one behind the other; and an array of more than one block.
  const std::string frames = compressed(lines.substr(0, 1000)) + compressed(lines.substr(1000));
  EXPECT_EQ(texts(load("b.jsonl.zst", frames).train), expected);
  EXPECT_EQ(texts(load("a.json", array).train), expected);
  EXPECT_EQ(texts(load("a.json.zst", compressed(array)).train), expected);
  EXPECT_EQ(load("a.json", array).train.back().origin.line, 4000);
}

TEST_F(DataFiles, BrokenCompressionIsAnError) {
  std::string text = compressed("{\"text\": \"abcdefgh\"}\n");
  const auto message = [&](const std::string& bytes) {
    const Error error = error_of([&] { load("a.jsonl.zst", bytes); });
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    return error.message();
  };
  EXPECT_NE(message(text.substr(0, text.size() - 3)).find("cut off"), std::string::npos);
  EXPECT_NE(message("{\"text\": \"plain\"}").find("not valid zstd"), std::string::npos);
  EXPECT_NE(message("").find("nothing to train on"), std::string::npos);
}

TEST_F(DataFiles, SetsAreTrainedInTurn) {
  options_.datasets = {set('a', 2), set('b', 4)};
  EXPECT_EQ(mixed(), "a0 a1 b0 b1 b2 b3 ");
  options_.mix = Mix::kInterleaveUnder;
  EXPECT_EQ(mixed(), "a0 b0 a1 ");
  options_.mix = Mix::kInterleaveOver;
  EXPECT_EQ(mixed(), "a0 b0 a1 b1 a0 b2 a1 b3 ");
}

TEST_F(DataFiles, ProbabilitiesDecideHowOftenASetIsNext) {
  options_.datasets = {set('a', 500), set('b', 2000)};
  options_.mix = Mix::kInterleaveUnder;
  options_.interleave_probs = {0.5, 0.5};
  const std::string order = mixed();
  const auto count = [&](char letter) { return std::count(order.begin(), order.end(), letter); };
  EXPECT_EQ(count('a'), 500);
  EXPECT_NEAR(static_cast<double>(count('b')), 500, 120);  // five standard deviations
  EXPECT_EQ(mixed(), order);
  options_.seed = 7;
  EXPECT_NE(mixed(), order);
}

TEST_F(DataFiles, NothingThatIsEvaluatedIsTrained) {
  options_.datasets = {set('a', 3), set('b', 30)};
  options_.mix = Mix::kInterleaveOver;
  options_.val_size = 0.3;
  const LoadedData data = load_data(options_, &tokenizer_, kByteTokenizerVocab);
  EXPECT_EQ(data.eval.size(), 10u);
  const std::vector<std::string> trained = texts(data.train);
  for (const std::string& text : texts(data.eval)) {
    EXPECT_EQ(std::count(trained.begin(), trained.end(), text), 0) << text;
  }
}

TEST_F(DataFiles, ProbabilitiesThatDoNotFitAreRefused) {
  options_.datasets = {set('a', 2), set('b', 4)};
  const auto refused = [&](std::vector<double> shares, const std::string& why) {
    options_.interleave_probs = std::move(shares);
    const Error error = error_of([&] { mixed(); });
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_NE(error.message().find(why), std::string::npos) << error.message();
  };
  refused({0.5, 0.5}, "needs mix_strategy");
  options_.mix = Mix::kInterleaveOver;
  refused({1}, "has 1 numbers for 2 datasets");
  refused({1, 0}, "above 0");
}

}  // namespace
}  // namespace athanor

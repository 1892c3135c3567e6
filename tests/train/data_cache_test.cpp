// The cache of tokenised data: what counts, what it hands out, and what it does about damage.
#include "runtime/train/data_cache.h"

#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "core/error.h"
#include "runtime/train/resume.h"
#include "runtime/train/run.h"
#include "tests/support/temp_folder.h"

namespace athanor::testing {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kVocab = 64;

class DataCacheTest : public ::testing::Test {
 protected:
  DataCacheTest() {
    options_.model_dir = folder_.path();  // without a tokenizer: the records are tokens
    options_.datasets = {write_records("a.jsonl", 40)};
    options_.val_size = 4;
    cache_.folder = folder_ / "cache/deep";
  }

  std::string write_records(const std::string& name, int count) const {
    std::string lines;
    for (int i = 0; i < count; ++i) {
      lines += "{\"input_ids\": [1, " + std::to_string(i % 60) + ", 7, 9], \"labels\": [1, -100, " +
               std::to_string(i % 50) + ", 9]}\n";
    }
    return folder_.write(name, lines);
  }
  PreparedData prepare() const { return prepare_data(options_, kVocab, cache_, 2); }
  CacheUse::Kind kind() const { return prepare().cache.kind; }

  TempFolder folder_;
  DataOptions options_;
  DataCache cache_;
};

template <class Number>
std::vector<Number> list(std::span<const Number> numbers) {
  return {numbers.begin(), numbers.end()};
}

void expect_same(const SampleSet& a, const SampleSet& b) {
  ASSERT_EQ(a.size(), b.size());
  for (int64_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(list(a[i].input_ids), list(b[i].input_ids));
    EXPECT_EQ(list(a[i].labels), list(b[i].labels));
    EXPECT_EQ(a[i].origin.line, b[i].origin.line);
    EXPECT_EQ(a[i].origin.file, b[i].origin.file);
  }
}

void expect_same(const PreparedData& a, const PreparedData& b) {
  expect_same(a.train, b.train);
  expect_same(a.eval, b.eval);
  ASSERT_EQ(a.report.files.size(), b.report.files.size());
  EXPECT_EQ(a.report.files[0].file, b.report.files[0].file);
  EXPECT_EQ(a.report.files[0].format, b.report.files[0].format);
  EXPECT_EQ(a.report.records, b.report.records);
  EXPECT_EQ(a.report.tokens, b.report.tokens);
  EXPECT_EQ(a.report.target_tokens, b.report.target_tokens);
  EXPECT_EQ(a.report.bad, b.report.bad);
}

TEST_F(DataCacheTest, HandsOutWhatTokenisingMakes) {
  const PreparedData made = prepare();
  EXPECT_EQ(made.cache.kind, CacheUse::Kind::kMiss);
  const PreparedData kept = prepare();
  EXPECT_EQ(kept.cache.kind, CacheUse::Kind::kHit);
  EXPECT_EQ(kept.cache.file, made.cache.file);
  cache_.folder.clear();
  const PreparedData plain = prepare();
  EXPECT_EQ(plain.cache.kind, CacheUse::Kind::kOff);
  EXPECT_EQ(plain.train.size(), 36);
  EXPECT_EQ(plain.eval.size(), 4);
  expect_same(plain, made);
  expect_same(plain, kept);
}

TEST_F(DataCacheTest, WhatDecidesTheSamplesDecidesTheKey) {
  EXPECT_EQ(kind(), CacheUse::Kind::kMiss);
  const auto expect_kind_after = [&](CacheUse::Kind expected, const auto& change) {
    const DataOptions before = options_;
    change();
    EXPECT_EQ(kind(), expected);
    options_ = before;
  };
  const auto miss = CacheUse::Kind::kMiss;
  const auto hit = CacheUse::Kind::kHit;
  expect_kind_after(miss, [&] { options_.cutoff_len = 3; });
  expect_kind_after(miss, [&] { options_.seed = 1; });  // which records are set aside
  expect_kind_after(miss, [&] { options_.max_samples = 10; });
  expect_kind_after(miss, [&] { options_.template_name = "chatml"; });
  expect_kind_after(hit, [&] { options_.packing = true; });
  expect_kind_after(hit, [&] { options_.skip_bad = true; });
  expect_kind_after(hit, [&] { options_.date = "2024-07-26"; });  // of no template
  options_.val_size = 0;
  EXPECT_EQ(kind(), miss);
  expect_kind_after(hit, [&] { options_.seed = 1; });  // nothing is drawn
  folder_.write("tokenizer_config.json", "{}");
  EXPECT_EQ(kind(), miss);
  write_records("a.jsonl", 41);
  EXPECT_EQ(kind(), miss);
  write_records("a.jsonl", 40);  // content counts, not time
  EXPECT_EQ(kind(), hit);
}

TEST_F(DataCacheTest, TheDateCountsWhereATemplateAsksForIt) {
  folder_.write("chat_template.jinja", "{{ strftime_now('%Y') }}");
  options_.date = "2024-07-26";
  EXPECT_EQ(kind(), CacheUse::Kind::kMiss);
  EXPECT_EQ(kind(), CacheUse::Kind::kHit);
  options_.date = "2024-07-27";
  EXPECT_EQ(kind(), CacheUse::Kind::kMiss);
}

TEST_F(DataCacheTest, DamagedAndForeignFilesAreMadeAgain) {
  const PreparedData good = prepare();
  const fs::path file = good.cache.file;
  const auto size = static_cast<int64_t>(fs::file_size(file));
  std::string content(static_cast<size_t>(size), '\0');
  std::ifstream(file, std::ios::binary).read(content.data(), size);
  std::vector<std::string> broken = {"", content.substr(0, 100),
                                     content.substr(0, content.size() - 1), content + "x", "text"};
  for (const size_t at : {0ul, 9ul, 45ul, 80ul, 200ul, content.size() - 2}) {
    broken.push_back(content);
    broken.back()[at] = static_cast<char>(broken.back()[at] ^ 1);
  }
  for (const std::string& bytes : broken) {
    fs::remove(file);  // `good` goes on reading the old one
    std::ofstream(file, std::ios::binary) << bytes;
    const PreparedData again = prepare();
    EXPECT_EQ(again.cache.kind, CacheUse::Kind::kMiss) << bytes.size();
    expect_same(good, again);
    EXPECT_EQ(kind(), CacheUse::Kind::kHit);
  }
}

TEST_F(DataCacheTest, OneOfManyTokenises) {
  std::vector<PreparedData> data(6);
  std::vector<std::thread> ranks;
  for (PreparedData& own : data) ranks.emplace_back([&] { own = prepare(); });
  for (std::thread& rank : ranks) rank.join();
  int made = 0;
  for (const PreparedData& own : data) {
    made += own.cache.kind == CacheUse::Kind::kMiss ? 1 : 0;
    expect_same(own, data[0]);
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(cache_.folder), fs::directory_iterator()), 1)
      << "locks go with their work";
}

TEST_F(DataCacheTest, AFolderThatCannotBeMadeIsDoneWithout) {
  cache_.folder = folder_.write("file", "") + "/below";
  const PreparedData data = prepare();
  EXPECT_EQ(data.cache.kind, CacheUse::Kind::kMiss);
  EXPECT_TRUE(data.cache.file.empty());
  EXPECT_EQ(data.train.size(), 36);
}

TEST_F(DataCacheTest, BadRecordsAreAnErrorAgainWithoutSkipBad) {
  options_.datasets = {
      folder_.write("b.jsonl", "{\"input_ids\": [1, 2]}\n{\"input_ids\": [99]}\n")};
  options_.val_size = 0;
  options_.skip_bad = true;
  EXPECT_EQ(prepare().report.bad_records, 1);
  EXPECT_EQ(prepare().report.bad.size(), 1u);
  EXPECT_EQ(kind(), CacheUse::Kind::kHit);
  options_.skip_bad = false;
  EXPECT_THROW(prepare(), Error);
}

TEST_F(DataCacheTest, OldFilesGoWhenANewOneComes) {
  const fs::path first = prepare().cache.file;
  std::ofstream(cache_.folder / "notes.tokens") << "not ours";
  options_.cutoff_len = 3;
  const fs::path second = prepare().cache.file;
  EXPECT_TRUE(fs::exists(first));
  cache_.keep_bytes = 1;
  options_.max_samples = 20;
  const fs::path third = prepare().cache.file;
  EXPECT_FALSE(fs::exists(first));
  EXPECT_FALSE(fs::exists(second));
  EXPECT_TRUE(fs::exists(third));
  EXPECT_TRUE(fs::exists(cache_.folder / "notes.tokens"));
}

TEST_F(DataCacheTest, OverwriteMakesItAgain) {
  EXPECT_EQ(kind(), CacheUse::Kind::kMiss);
  cache_.rebuild = true;
  EXPECT_EQ(kind(), CacheUse::Kind::kMiss);
}

// What training reads of its data is micro-batches; data_digest() is over all of them.
TEST(RunDataCache, MicroBatchesHaveTheSameBits) {
  const TempFolder folder;
  RunConfig config;
  const fs::path model = fs::path(ATHANOR_GOLDEN_DIR) / "llama_tied";
  config.model_name_or_path = model;
  config.dataset = {(model / "data.jsonl").string()};
  config.cutoff_len = 32;
  config.output_dir = folder / "out";
  config.threads = 1;
  resolve_auto(config);
  const RunData plain = load_run_data(resolve_run(config, 1));
  EXPECT_EQ(plain.cache.kind, CacheUse::Kind::kOff);
  const RunData made = load_run_data(resolve_run(config, 1), folder / "auto");
  EXPECT_EQ(made.cache.kind, CacheUse::Kind::kMiss);
  const RunData kept = load_run_data(resolve_run(config, 1), folder / "auto");
  EXPECT_EQ(kept.cache.kind, CacheUse::Kind::kHit);
  EXPECT_EQ(data_digest(plain.train), data_digest(made.train));
  EXPECT_EQ(data_digest(plain.train), data_digest(kept.train));
  config.data_cache = "none";
  EXPECT_EQ(load_run_data(resolve_run(config, 1), folder / "auto").cache.kind,
            CacheUse::Kind::kOff);
}

TEST(TemplateDate, IsFixedWhereTheTemplateAsksForIt) {
  const TempFolder folder;
  RunConfig config;
  config.model_name_or_path = folder.path();
  config.template_name = folder.write("plain.jinja", "{{ messages[0].content }}");
  fix_template_date(config);
  EXPECT_EQ(config.template_date, "");
  config.template_name = folder.write("dated.jinja", "{{ strftime_now('%d %b %Y') }}");
  fix_template_date(config);
  EXPECT_EQ(config.template_date, today());
  config.template_date = "2024-07-26";
  fix_template_date(config);
  EXPECT_EQ(config.template_date, "2024-07-26");
}

}  // namespace
}  // namespace athanor::testing

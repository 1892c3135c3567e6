// Rows, micro-batches and shuffles.
#include "runtime/data/batch.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <thread>

#include "runtime/data/permutation.h"
#include "tests/data/data_test_support.h"

namespace athanor {
namespace {

// Lengths 1 .. longest in a fixed, uneven order; ids tell sample and place.
std::vector<Sample> make_samples(int64_t count, int64_t longest) {
  std::vector<Sample> samples(count);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t size = 1 + (i * 7919) % longest;
    for (int64_t t = 0; t < size; ++t) {
      samples[i].input_ids.push_back(static_cast<int32_t>(i * 1000 + t));
      samples[i].labels.push_back(t % 3 == 0 ? kNoLoss : static_cast<int32_t>(i * 1000 + t));
    }
  }
  return samples;
}

BatchOptions options(bool packing, int64_t rows_per_micro_batch, int64_t cutoff_len) {
  BatchOptions result;
  result.packing = packing;
  result.rows_per_micro_batch = rows_per_micro_batch;
  result.cutoff_len = cutoff_len;
  return result;
}

class Batches : public ::testing::TestWithParam<bool> {};

TEST_P(Batches, HoldEachSampleOnceInEveryEpoch) {
  const std::vector<Sample> samples = make_samples(2500, 97);
  const BatchSource source(samples, options(GetParam(), 3, 128));
  for (const int64_t epoch : {0, 1}) {
    std::vector<int> seen(samples.size(), 0);
    int64_t rows = 0;
    for (int64_t i = 0; i < source.micro_batches_per_epoch(); ++i) {
      const MicroBatch batch = source.micro_batch(epoch, i);
      EXPECT_LE(batch.input_ids.size(), 3u * 128);
      EXPECT_EQ(batch.target_tokens, source.target_tokens(epoch, i));
      for (const int64_t id : batch.sample_ids) ++seen[id];
      rows += i + 1 < source.micro_batches_per_epoch() ? 3 : source.rows() - rows;
    }
    EXPECT_EQ(rows, source.rows());
    EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
  }
}

TEST_P(Batches, LayOutSamplesEndToEnd) {
  const std::vector<Sample> samples = make_samples(300, 50);
  const BatchSource source(samples, options(GetParam(), 4, 64));
  for (int64_t index = 0; index < source.micro_batches_per_epoch(); ++index) {
    const MicroBatch batch = source.micro_batch(0, index);
    ASSERT_EQ(batch.cu_seqlens.size(), batch.sample_ids.size() + 1);
    EXPECT_EQ(batch.cu_seqlens.front(), 0);
    EXPECT_EQ(batch.cu_seqlens.back(), static_cast<int32_t>(batch.input_ids.size()));
    EXPECT_EQ(batch.targets.size(), batch.input_ids.size());
    EXPECT_EQ(batch.positions.size(), batch.input_ids.size());
    int64_t targets = 0;
    for (size_t s = 0; s < batch.sample_ids.size(); ++s) {
      const Sample& sample = samples[batch.sample_ids[s]];
      const int32_t begin = batch.cu_seqlens[s];
      ASSERT_EQ(batch.cu_seqlens[s + 1] - begin, static_cast<int32_t>(sample.input_ids.size()));
      for (int32_t t = 0; t < static_cast<int32_t>(sample.input_ids.size()); ++t) {
        EXPECT_EQ(batch.input_ids[begin + t], sample.input_ids[t]);
        EXPECT_EQ(batch.positions[begin + t], t);
        const bool last = t + 1 == static_cast<int32_t>(sample.input_ids.size());
        EXPECT_EQ(batch.targets[begin + t], last ? kNoLoss : sample.labels[t + 1]);
        targets += batch.targets[begin + t] != kNoLoss ? 1 : 0;
      }
    }
    EXPECT_EQ(batch.target_tokens, targets);
  }
}

TEST_P(Batches, DependOnSeedEpochAndIndexOnly) {
  const std::vector<Sample> samples = make_samples(200, 30);
  BatchOptions shuffled = options(GetParam(), 2, 32);
  const BatchSource a(samples, shuffled);
  const BatchSource b(samples, shuffled);
  // Asked in another order, after other epochs.
  const MicroBatch late = b.micro_batch(5, 3);
  for (int64_t i = 0; i < a.micro_batches_per_epoch(); ++i) {
    EXPECT_EQ(a.micro_batch(1, i).input_ids, b.micro_batch(1, i).input_ids);
  }
  EXPECT_EQ(a.micro_batch(5, 3).input_ids, late.input_ids);
  EXPECT_NE(a.micro_batch(0, 0).input_ids, a.micro_batch(1, 0).input_ids);
  shuffled.seed = 43;
  EXPECT_NE(BatchSource(samples, shuffled).micro_batch(0, 0).input_ids,
            a.micro_batch(0, 0).input_ids);
}

TEST(GroupedBatches, HoldRowsOfLikeLengthInAnOrderOfTheSeed) {
  const std::vector<Sample> samples = make_samples(1003, 97);
  BatchOptions grouped = options(false, 4, 128);
  const auto spread = [&](const BatchOptions& how) {  // longest minus shortest row, summed
    const BatchSource source(samples, how);
    int64_t sum = 0;
    for (int64_t i = 0; i < source.micro_batches_per_epoch(); ++i) {
      std::vector<int64_t> lengths;
      for (const int64_t id : source.micro_batch(0, i).sample_ids) {
        lengths.push_back(static_cast<int64_t>(source.sample(id).input_ids.size()));
      }
      const auto [low, high] = std::minmax_element(lengths.begin(), lengths.end());
      sum += *high - *low;
    }
    return sum;
  };
  const int64_t shuffled_spread = spread(grouped);
  grouped.group_by_length = true;
  EXPECT_LT(spread(grouped) * 10, shuffled_spread);
  const BatchSource source(samples, grouped);
  EXPECT_EQ(source.micro_batch(0, 250).sample_ids.size(), 3u) << "the short one stays the last";
  std::set<int64_t> seen;
  std::vector<size_t> lengths;
  for (int64_t i = 0; i < source.micro_batches_per_epoch(); ++i) {
    const MicroBatch batch = source.micro_batch(2, i);
    seen.insert(batch.sample_ids.begin(), batch.sample_ids.end());
    lengths.push_back(batch.input_ids.size());
  }
  EXPECT_EQ(seen.size(), samples.size());
  EXPECT_FALSE(std::is_sorted(lengths.begin(), lengths.begin() + 64, std::greater<>()))
      << "micro-batches of a window come in a drawn order";
  // From any position on, as after a resume; another epoch and another seed give other orders.
  EXPECT_EQ(BatchSource(samples, grouped).micro_batch(2, 77).input_ids,
            source.micro_batch(2, 77).input_ids);
  EXPECT_NE(source.micro_batch(0, 0).input_ids, source.micro_batch(1, 0).input_ids);
  grouped.seed = 43;
  EXPECT_NE(BatchSource(samples, grouped).micro_batch(0, 0).input_ids,
            source.micro_batch(0, 0).input_ids);
}

INSTANTIATE_TEST_SUITE_P(Packing, Batches, ::testing::Bool());

TEST(Packing, FillsRowsAndNeverOverfillsThem) {
  const std::vector<Sample> samples = make_samples(4096, 100);
  const BatchSource source(samples, options(true, 1, 256));
  int64_t tokens = 0;
  for (int64_t r = 0; r < source.rows(); ++r) {
    int64_t size = 0;
    for (const int64_t id : source.row(r)) {
      size += static_cast<int64_t>(samples[id].input_ids.size());
    }
    EXPECT_LE(size, 256);
    tokens += size;
  }
  // Best fit decreasing leaves at most the last row of each of the four windows half empty.
  EXPECT_GT(static_cast<double>(tokens) / static_cast<double>(source.rows() * 256), 0.97);
}

TEST(Packing, PutsALongSampleWithTheOneThatFitsBest) {
  std::vector<Sample> samples;
  for (const int64_t size : {3, 6, 4, 7}) {
    samples.push_back({std::vector<int32_t>(size, 1), std::vector<int32_t>(size, 1)});
  }
  const BatchSource source(samples, options(true, 1, 10));
  ASSERT_EQ(source.rows(), 2);
  EXPECT_EQ(source.row(0), (std::vector<int64_t>{0, 3}));
  EXPECT_EQ(source.row(1), (std::vector<int64_t>{1, 2}));
}

TEST(BatchSource, SequentialModeKeepsTheOrder) {
  BatchOptions sequential = options(false, 2, 16);
  sequential.shuffle = false;
  const BatchSource source(make_samples(5, 16), sequential);
  ASSERT_EQ(source.micro_batches_per_epoch(), 3);
  EXPECT_EQ(source.micro_batch(0, 0).sample_ids, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(source.micro_batch(7, 2).sample_ids, (std::vector<int64_t>{4}));
}

TEST(BatchSource, IsReadByManyThreads) {
  const BatchSource source(make_samples(500, 30), options(true, 2, 32));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&source, t] {
      for (int64_t i = 0; i < source.micro_batches_per_epoch(); ++i) {
        source.micro_batch(t % 2, i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(BatchSource, RefusesSamplesLongerThanARow) {
  EXPECT_EQ(error_of([] { BatchSource(make_samples(3, 9), options(true, 1, 4)); }).kind(),
            ErrorKind::kInternal);
}

TEST(Permutation, IsTheSameOnEveryPlatform) {
  // Fixed forever: a resumed run must find the order it left.
  EXPECT_EQ(permutation(8, 42, 0), (std::vector<int64_t>{7, 4, 3, 0, 5, 2, 6, 1}));
  EXPECT_EQ(permutation(8, 42, 1), (std::vector<int64_t>{2, 4, 1, 3, 0, 7, 6, 5}));
  EXPECT_TRUE(permutation(0, 1, 2).empty());
}

TEST(Permutation, PutsEachElementEverywhereAboutAsOften) {
  constexpr int64_t kSize = 5;
  constexpr int kDraws = 20000;
  int64_t counts[kSize][kSize] = {};
  for (int draw = 0; draw < kDraws; ++draw) {
    const std::vector<int64_t> order = permutation(kSize, 7, static_cast<uint64_t>(draw));
    EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()).size(), size_t{kSize});
    for (int64_t i = 0; i < kSize; ++i) ++counts[i][order[i]];
  }
  // Expected 4000 with a standard deviation of 57.
  for (const auto& row : counts) {
    for (const int64_t count : row) EXPECT_NEAR(static_cast<double>(count), 4000, 300);
  }
}

}  // namespace
}  // namespace athanor

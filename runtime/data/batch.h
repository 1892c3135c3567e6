// Samples to micro-batches without padding: rows of whole samples, and micro-batches of B rows
// laid end to end. All is a function of (samples, options, epoch, index), so that training can go
// on anywhere and no content depends on the number of ranks.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/data/sample_set.h"

namespace athanor {

// N tokens of S samples, N <= B * cutoff_len. Attention stays within samples.
struct MicroBatch {
  std::vector<int32_t> input_ids;   // [N]
  std::vector<int32_t> targets;     // [N] the next label of the same sample; kNoLoss at its end
  std::vector<int32_t> positions;   // [N] from 0 in each sample
  std::vector<int32_t> cu_seqlens;  // [S+1] where samples begin, and N
  std::vector<int64_t> sample_ids;  // [S] index into the samples given to BatchSource
  int64_t target_tokens = 0;        // targets that are not kNoLoss
};

struct BatchOptions {
  int64_t rows_per_micro_batch = 1;  // B
  int64_t cutoff_len = 2048;         // longest row
  bool packing = false;              // rows of several samples; else one each
  bool group_by_length = false;      // micro-batches of rows of like length
  bool shuffle = true;               // rows in a new order each epoch; false for evaluation
  uint64_t seed = 42;
};

// Const methods may be called by many threads.
class BatchSource {
 public:
  // Every sample has 1 to cutoff_len tokens and as many labels.
  BatchSource(SampleSet samples, const BatchOptions& options);
  BatchSource(std::vector<Sample> samples, const BatchOptions& options)
      : BatchSource(SampleSet(std::move(samples)), options) {}
  ~BatchSource();
  BatchSource(BatchSource&&) noexcept;
  BatchSource& operator=(BatchSource&&) noexcept;

  int64_t samples() const;
  // By the ids that row() and MicroBatch::sample_ids hold; its origin is the record.
  SampleView sample(int64_t id) const;
  int64_t rows() const;
  // Sample ids of a row, before shuffling.
  const std::vector<int64_t>& row(int64_t index) const;

  // The last one of an epoch may have fewer rows.
  int64_t micro_batches_per_epoch() const;
  MicroBatch micro_batch(int64_t epoch, int64_t index) const;
  // micro_batch(epoch, index).target_tokens without building it.
  int64_t target_tokens(int64_t epoch, int64_t index) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace athanor

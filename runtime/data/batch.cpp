// Packing and batching.
#include "runtime/data/batch.h"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <set>
#include <span>
#include <utility>

#include "core/error.h"
#include "runtime/data/permutation.h"

namespace athanor {
namespace {

constexpr int64_t kPackingWindow = 1024;  // samples

constexpr int64_t kGroupedBatches = 64;  // whose rows are sorted together
// Stream numbers of permutation(): epochs, and epochs with this bit for the order of groups.
constexpr uint64_t kGroupStream = uint64_t{1} << 62;

using Rows = std::vector<std::vector<int64_t>>;

// Best fit, longest first: each sample goes into the fullest row that still has room.
void pack_window(const SampleSet& samples, int64_t begin, int64_t end, int64_t cutoff_len,
                 Rows& rows) {
  std::vector<int64_t> order(end - begin);
  std::iota(order.begin(), order.end(), begin);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return samples.tokens(a) > samples.tokens(b); });
  std::set<std::pair<int64_t, size_t>> open;  // (room, row)
  const size_t first_row = rows.size();
  for (const int64_t id : order) {
    const int64_t size = samples.tokens(id);
    auto fit = open.lower_bound({size, 0});
    size_t row = rows.size();
    int64_t room = cutoff_len;
    if (fit != open.end()) {
      std::tie(room, row) = *fit;
      open.erase(fit);
    } else {
      rows.emplace_back();
    }
    rows[row].push_back(id);
    open.emplace(room - size, row);
  }
  for (size_t row = first_row; row < rows.size(); ++row) {
    std::sort(rows[row].begin(), rows[row].end());
  }
}

Rows make_rows(const SampleSet& samples, const BatchOptions& options) {
  Rows rows;
  const int64_t count = samples.size();
  if (options.packing) {
    for (int64_t begin = 0; begin < count; begin += kPackingWindow) {
      pack_window(samples, begin, std::min(count, begin + kPackingWindow), options.cutoff_len,
                  rows);
    }
  } else {
    rows.resize(count);
    for (int64_t i = 0; i < count; ++i) rows[i] = {i};
  }
  return rows;
}

void append(MicroBatch& batch, const SampleView& sample, int64_t id) {
  const int64_t size = static_cast<int64_t>(sample.input_ids.size());
  batch.input_ids.insert(batch.input_ids.end(), sample.input_ids.begin(), sample.input_ids.end());
  batch.targets.insert(batch.targets.end(), sample.labels.begin() + 1, sample.labels.end());
  batch.targets.push_back(kNoLoss);
  for (int64_t i = 0; i < size; ++i) batch.positions.push_back(static_cast<int32_t>(i));
  batch.cu_seqlens.push_back(narrow<int32_t>(batch.input_ids.size()));
  batch.sample_ids.push_back(id);
  batch.target_tokens += count_targets(sample.labels);
}

}  // namespace

struct BatchSource::Impl {
  SampleSet samples;
  BatchOptions options;
  Rows rows;

  // The order of the epoch asked for last: callers go through an epoch index by index.
  std::mutex mutex;
  int64_t cached_epoch = -1;
  std::shared_ptr<const std::vector<int64_t>> cached_order;

  int64_t micro_batches() const {
    const int64_t per_batch = options.rows_per_micro_batch;
    return (static_cast<int64_t>(rows.size()) + per_batch - 1) / per_batch;
  }

  int64_t row_tokens(int64_t row) const {
    int64_t tokens = 0;
    for (const int64_t id : rows[static_cast<size_t>(row)]) tokens += samples.tokens(id);
    return tokens;
  }

  // Sorts shuffled rows by length within windows, and shuffles the micro-batches that they then
  // make; one with fewer rows stays the last.
  void group(std::vector<int64_t>& order, uint64_t epoch) const {
    const int64_t per_batch = options.rows_per_micro_batch;
    const int64_t window = per_batch * kGroupedBatches;
    const int64_t count = static_cast<int64_t>(order.size());
    for (int64_t begin = 0; begin < count; begin += window) {
      std::stable_sort(order.begin() + begin, order.begin() + std::min(count, begin + window),
                       [&](int64_t a, int64_t b) { return row_tokens(a) > row_tokens(b); });
    }
    std::vector<int64_t> grouped;
    grouped.reserve(order.size());
    for (const int64_t batch : permutation(count / per_batch, options.seed, kGroupStream | epoch)) {
      const auto first = order.begin() + batch * per_batch;
      grouped.insert(grouped.end(), first, first + per_batch);
    }
    grouped.insert(grouped.end(), order.begin() + count / per_batch * per_batch, order.end());
    order = std::move(grouped);
  }

  std::shared_ptr<const std::vector<int64_t>> order_of(int64_t epoch) {
    const std::lock_guard lock(mutex);
    if (cached_epoch != epoch) {
      std::vector<int64_t> order = permutation(static_cast<int64_t>(rows.size()), options.seed,
                                               static_cast<uint64_t>(epoch));
      if (options.group_by_length) group(order, static_cast<uint64_t>(epoch));
      cached_order = std::make_shared<const std::vector<int64_t>>(std::move(order));
      cached_epoch = epoch;
    }
    return cached_order;
  }

  // Calls visit(row) for the rows of one micro-batch.
  template <class Visit>
  void for_each_row(int64_t epoch, int64_t index, const Visit& visit) {
    ATHANOR_CHECK(epoch >= 0 && index >= 0 && index < micro_batches(),
                  "micro-batch " + std::to_string(index) + " of epoch " + std::to_string(epoch));
    const int64_t begin = index * options.rows_per_micro_batch;
    const int64_t end =
        std::min(static_cast<int64_t>(rows.size()), begin + options.rows_per_micro_batch);
    const auto order = options.shuffle ? order_of(epoch) : nullptr;
    for (int64_t i = begin; i < end; ++i) visit(rows[order ? (*order)[i] : i]);
  }
};

BatchSource::BatchSource(SampleSet samples, const BatchOptions& options)
    : impl_(std::make_unique<Impl>()) {
  ATHANOR_CHECK(options.rows_per_micro_batch >= 1,
                "rows_per_micro_batch is " + std::to_string(options.rows_per_micro_batch));
  for (int64_t i = 0; i < samples.size(); ++i) {
    ATHANOR_CHECK(samples.tokens(i) >= 1 && samples.tokens(i) <= options.cutoff_len,
                  "sample " + std::to_string(i) + " has " + std::to_string(samples.tokens(i)) +
                      " tokens, cutoff_len is " + std::to_string(options.cutoff_len));
  }
  impl_->rows = make_rows(samples, options);
  impl_->samples = std::move(samples);
  impl_->options = options;
}

BatchSource::~BatchSource() = default;
BatchSource::BatchSource(BatchSource&&) noexcept = default;
BatchSource& BatchSource::operator=(BatchSource&&) noexcept = default;

int64_t BatchSource::samples() const { return impl_->samples.size(); }
int64_t BatchSource::rows() const { return static_cast<int64_t>(impl_->rows.size()); }
const std::vector<int64_t>& BatchSource::row(int64_t index) const {
  ATHANOR_CHECK(index >= 0 && index < rows(), "row " + std::to_string(index));
  return impl_->rows[index];
}
SampleView BatchSource::sample(int64_t id) const {
  ATHANOR_CHECK(id >= 0 && id < samples(), "sample " + std::to_string(id));
  return impl_->samples[id];
}
int64_t BatchSource::micro_batches_per_epoch() const { return impl_->micro_batches(); }

MicroBatch BatchSource::micro_batch(int64_t epoch, int64_t index) const {
  MicroBatch batch;
  batch.cu_seqlens.push_back(0);
  impl_->for_each_row(epoch, index, [&](const std::vector<int64_t>& row) {
    for (const int64_t id : row) append(batch, impl_->samples[id], id);
  });
  return batch;
}

int64_t BatchSource::target_tokens(int64_t epoch, int64_t index) const {
  int64_t targets = 0;
  impl_->for_each_row(epoch, index, [&](const std::vector<int64_t>& row) {
    for (const int64_t id : row) targets += count_targets(impl_->samples[id].labels);
  });
  return targets;
}

}  // namespace athanor

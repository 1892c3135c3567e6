#include "sharding/comm/communicator.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "core/pairwise.h"

namespace athanor {

void Communicator::count(const char* name, int64_t bytes) {
  CollectiveCount& entry = counts_[name];
  ++entry.count;
  entry.bytes += bytes;
}

void Communicator::all_gather(void* out, const void* in, int64_t block_bytes, Stream& stream) {
  if (block_bytes == 0) return;
  count("all_gather", block_bytes * (world_size_ - 1));
  do_all_gather(out, in, block_bytes, stream);
}

void Communicator::reduce_scatter(Tensor out, ConstTensor in, int present, Stream& stream) {
  const int64_t n = out.numel();
  expect_dtype("reduce_scatter", "out", out, DType::kF32);
  expect_dtype("reduce_scatter", "in", in, DType::kF32);
  ATHANOR_CHECK(in.numel() == n * world_size_, "reduce_scatter: in has " +
                                                   std::to_string(in.numel()) + " elements for " +
                                                   std::to_string(n) + " per rank");
  ATHANOR_CHECK(present >= 1 && present <= world_size_, "reduce_scatter: nobody is present");
  if (n == 0) return;
  const bool receives_own = rank_ < present;
  count("reduce_scatter", n * 4 * (present - (receives_own ? 1 : 0)));
  do_reduce_scatter(static_cast<float*>(out.raw()), static_cast<const float*>(in.raw()), n, present,
                    stream);
}

void Communicator::all_reduce(Tensor inout, int present, Stream& stream) {
  const int64_t n = inout.numel() / world_size_;
  const Tensor flat = inout.reshaped({inout.numel()});
  const Tensor own = flat.rows(n * rank_, n);
  reduce_scatter(own, flat, present, stream);
  all_gather(flat.raw(), own.raw(), n * 4, stream);
}

void Communicator::barrier(Stream& stream) {
  count("barrier", 0);
  do_barrier(stream);
}

void Communicator::all_gather_host(std::span<std::byte> out, std::span<const std::byte> in,
                                   Stream& stream) {
  ATHANOR_CHECK(out.size() == in.size() * static_cast<size_t>(world_size_),
                "all_gather_host: sizes differ");
  // In a plan the closures are dropped and the own block stands for every rank.
  for (size_t r = 0; r < static_cast<size_t>(world_size_); ++r) {
    std::memcpy(out.data() + r * in.size(), in.data(), in.size());
  }
  if (world_size_ == 1) return;
  count("host", static_cast<int64_t>(in.size()) * (world_size_ - 1));
  do_all_gather(out.data(), in.data(), static_cast<int64_t>(in.size()), stream);
  stream.synchronize();
}

int64_t Communicator::sum_host(int64_t value, Stream& stream) {
  std::vector<int64_t> all(static_cast<size_t>(world_size_));
  all_gather_host(std::as_writable_bytes(std::span(all)),
                  std::as_bytes(std::span<const int64_t>(&value, 1)), stream);
  int64_t sum = 0;
  for (int64_t entry : all) sum += entry;
  return sum;
}

int64_t Communicator::max_host(int64_t value, Stream& stream) {
  std::vector<int64_t> all(static_cast<size_t>(world_size_));
  all_gather_host(std::as_writable_bytes(std::span(all)),
                  std::as_bytes(std::span<const int64_t>(&value, 1)), stream);
  return *std::max_element(all.begin(), all.end());
}

namespace {

constexpr int64_t kTreeChunk = 256;

void tree_into(float* out, const float* const* operands, int begin, int count, int64_t offset,
               int64_t n) {
  if (count == 1) {
    std::memcpy(out, operands[begin] + offset, static_cast<size_t>(n) * sizeof(float));
    return;
  }
  const int left = static_cast<int>(tree_split(count));
  float right[kTreeChunk];
  tree_into(out, operands, begin, left, offset, n);
  tree_into(right, operands, begin + left, count - left, offset, n);
  for (int64_t i = 0; i < n; ++i) out[i] += right[i];
}

class SoloCommunicator final : public Communicator {
 public:
  SoloCommunicator() : Communicator(0, 1) {}
  void abort(const std::string&, int) noexcept override {}

 protected:
  void do_all_gather(void* out, const void* in, int64_t bytes, Stream& stream) override {
    if (out == in) return;
    stream.submit(Cost{"all_gather", 0, bytes, bytes},
                  [=](ExecContext&) { std::memcpy(out, in, static_cast<size_t>(bytes)); });
  }
  void do_reduce_scatter(float* out, const float* in, int64_t n, int, Stream& stream) override {
    do_all_gather(out, in, n * 4, stream);
  }
  void do_barrier(Stream&) override {}
};

class CountingCommunicator final : public Communicator {
 public:
  CountingCommunicator(int rank, int world_size, Allocator& allocator, int64_t staging_bytes)
      : Communicator(rank, world_size) {
    if (staging_bytes > 0) staging_ = Buffer(allocator, staging_bytes);
  }
  void abort(const std::string&, int) noexcept override {}

 protected:
  void do_all_gather(void*, const void*, int64_t bytes, Stream& stream) override {
    stream.submit(Cost{"all_gather", 0, bytes, bytes * (world_size() - 1)}, [](ExecContext&) {});
  }
  void do_reduce_scatter(float*, const float*, int64_t n, int, Stream& stream) override {
    stream.submit(Cost{"reduce_scatter", 0, n * 4 * (world_size() - 1), n * 4 * (world_size() - 1)},
                  [](ExecContext&) {});
  }
  void do_barrier(Stream&) override {}

 private:
  Buffer staging_;
};

}  // namespace

void tree_sum(float* sum, const float* const* operands, int count, int64_t n) {
  float chunk[kTreeChunk];
  for (int64_t offset = 0; offset < n; offset += kTreeChunk) {
    const int64_t size = std::min(kTreeChunk, n - offset);
    tree_into(chunk, operands, 0, count, offset, size);
    std::memcpy(sum + offset, chunk, static_cast<size_t>(size) * sizeof(float));
  }
}

std::unique_ptr<Communicator> make_solo_communicator() {
  return std::make_unique<SoloCommunicator>();
}

std::unique_ptr<Communicator> make_counting_communicator(int rank, int world_size,
                                                         Allocator& allocator,
                                                         int64_t staging_bytes) {
  return std::make_unique<CountingCommunicator>(rank, world_size, allocator, staging_bytes);
}

}  // namespace athanor

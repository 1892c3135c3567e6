#include "kernels/elementwise/cpu.h"

#include <algorithm>

#include <cstddef>
#include <cstring>
#include <string>

#include "core/dtype.h"
#include "core/error.h"
#include "kernels/elementwise/tiles.h"

namespace athanor::cpu {
namespace {

constexpr int64_t kChunkBytes = 4 * kChunk;

void check_row(const char* operation, int64_t row, int64_t bound) {
  ATHANOR_CHECK(row >= 0 && row < bound, std::string(operation) + ": row " + std::to_string(row) +
                                             " of " + std::to_string(bound));
}

int64_t rows_per_task(int64_t row_bytes) { return rows_per_chunk((row_bytes + 3) / 4); }

}  // namespace

void fill_zero(ThreadPool& pool, void* y, int64_t bytes) {
  auto* to = static_cast<std::byte*>(y);
  for_chunks(pool, bytes, kChunkBytes, [&](int64_t begin, int64_t count, int) {
    std::memset(to + begin, 0, static_cast<size_t>(count));
  });
}

void copy_bytes(ThreadPool& pool, void* y, const void* x, int64_t bytes) {
  auto* to = static_cast<std::byte*>(y);
  const auto* from = static_cast<const std::byte*>(x);
  if (to == from) return;
  for_chunks(pool, bytes, kChunkBytes, [&](int64_t begin, int64_t count, int) {
    std::memcpy(to + begin, from + begin, static_cast<size_t>(count));
  });
}

template <class T>
void fill(ThreadPool& pool, T* y, float value, int64_t n) {
  for_chunks(pool, n, kChunk, [&](int64_t begin, int64_t count, int) {
    std::fill(y + begin, y + begin + count, from_float<T>(value));
  });
}

void copy_columns(ThreadPool& pool, void* y, int64_t y_stride, int64_t y_first, const void* x,
                  int64_t x_stride, int64_t x_first, int64_t row_bytes, int64_t rows) {
  auto* to = static_cast<std::byte*>(y) + y_first;
  const auto* from = static_cast<const std::byte*>(x) + x_first;
  for_chunks(pool, rows, rows_per_task(row_bytes), [&](int64_t begin, int64_t count, int) {
    for (int64_t n = begin; n < begin + count; ++n) {
      std::memcpy(to + n * y_stride, from + n * x_stride, static_cast<size_t>(row_bytes));
    }
  });
}

template <class To, class From>
void convert(ThreadPool& pool, To* y, const From* x, int64_t n) {
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    alignas(64) float tile[kTile];
    load_tile(tile, x + begin, count);
    store_tile(y + begin, tile, count);
  });
}

template <class T>
void add(ThreadPool& pool, T* y, const T* a, const T* b, int64_t n) {
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    alignas(64) float sum[kTile];
    alignas(64) float other[kTile];
    load_tile(sum, a + begin, count);
    load_tile(other, b + begin, count);
    for (int64_t i = 0; i < count; ++i) sum[i] += other[i];
    store_tile(y + begin, sum, count);
  });
}

template <class T>
void scale(ThreadPool& pool, T* y, const T* x, float factor, int64_t n) {
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    alignas(64) float tile[kTile];
    load_tile(tile, x + begin, count);
    for (int64_t i = 0; i < count; ++i) tile[i] *= factor;
    store_tile(y + begin, tile, count);
  });
}

void gather_rows(ThreadPool& pool, void* y, const void* x, const int32_t* rows, int64_t count,
                 int64_t source_rows, int64_t row_bytes) {
  auto* to = static_cast<std::byte*>(y);
  const auto* from = static_cast<const std::byte*>(x);
  for_chunks(pool, count, rows_per_task(row_bytes), [&](int64_t begin, int64_t chunk, int) {
    for (int64_t n = begin; n < begin + chunk; ++n) {
      check_row("gather_rows", rows[n], source_rows);
      std::memcpy(to + n * row_bytes, from + rows[n] * row_bytes, static_cast<size_t>(row_bytes));
    }
  });
}

void scatter_rows(ThreadPool& pool, void* y, const void* x, const int32_t* rows, int64_t count,
                  int64_t target_rows, int64_t row_bytes) {
  fill_zero(pool, y, target_rows * row_bytes);
  auto* to = static_cast<std::byte*>(y);
  const auto* from = static_cast<const std::byte*>(x);
  for_chunks(pool, count, rows_per_task(row_bytes), [&](int64_t begin, int64_t chunk, int) {
    for (int64_t n = begin; n < begin + chunk; ++n) {
      check_row("scatter_rows", rows[n], target_rows);
      std::memcpy(to + rows[n] * row_bytes, from + n * row_bytes, static_cast<size_t>(row_bytes));
    }
  });
}

template void fill(ThreadPool&, float*, float, int64_t);
template void fill(ThreadPool&, bfloat16*, float, int64_t);
template void convert(ThreadPool&, bfloat16*, const float*, int64_t);
template void convert(ThreadPool&, float*, const bfloat16*, int64_t);
template void add(ThreadPool&, float*, const float*, const float*, int64_t);
template void add(ThreadPool&, bfloat16*, const bfloat16*, const bfloat16*, int64_t);
template void scale(ThreadPool&, float*, const float*, float, int64_t);
template void scale(ThreadPool&, bfloat16*, const bfloat16*, float, int64_t);

}  // namespace athanor::cpu

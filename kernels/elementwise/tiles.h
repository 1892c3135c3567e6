// Fixed chunks of flat arrays for the thread pool, and tiles: short runs of elements that are
// widened to float32, computed on and rounded once. A tile is loaded whole before it is stored, so
// operands that are the same memory need no care.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "core/dtype.h"
#include "core/thread_pool.h"
#include "kernels/cpu/convert.h"

namespace athanor::cpu {

inline constexpr int64_t kChunk = 16384;  // elements of one task: enough work to be worth a thread
inline constexpr int64_t kTile = 512;     // 2 KiB of float32: a few tiles stay in L1

// body(begin, count, worker) for the fixed chunks of [0, n).
template <class Body>
void for_chunks(ThreadPool& pool, int64_t n, int64_t chunk, const Body& body) {
  pool.parallel_for((n + chunk - 1) / chunk, [&](int64_t task, int worker) {
    const int64_t begin = task * chunk;
    body(begin, std::min(chunk, n - begin), worker);
  });
}

// body(begin, count) for tiles of at most kTile elements that cover [0, n), in parallel.
template <class Body>
void for_tiles(ThreadPool& pool, int64_t n, const Body& body) {
  for_chunks(pool, n, kChunk, [&](int64_t begin, int64_t count, int) {
    for (int64_t i = 0; i < count; i += kTile) body(begin + i, std::min(kTile, count - i));
  });
}

// Rows of `columns` elements that make about one chunk.
inline int64_t rows_per_chunk(int64_t columns) {
  return std::max<int64_t>(1, kChunk / std::max<int64_t>(1, columns));
}

template <class T>
inline void load_tile(float* __restrict to, const T* __restrict from, int64_t n) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    widen_row(to, from, n);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = to_float(from[i]);
  }
}

template <class T>
inline void store_tile(T* __restrict to, const float* __restrict from, int64_t n) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    round_row(to, from, n);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = from_float<T>(from[i]);
  }
}

}  // namespace athanor::cpu

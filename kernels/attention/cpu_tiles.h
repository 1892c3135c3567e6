// What attention's forward and backward share on the CPU: where the blocks of packed sequences are,
// the carving of a worker's scratch, and tiles in float32.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/dtype.h"
#include "core/error.h"
#include "core/thread_pool.h"
#include "kernels/cpu/transpose.h"

namespace athanor::cpu {

inline constexpr int64_t kKeyBlock = 64;  // keys of one tile, counted from the sequence's first key

// The first key that the query at position `query` of its sequence sees.
inline int64_t first_seen(int64_t query, int64_t window) {
  return window > 0 ? std::max<int64_t>(0, query - window + 1) : 0;
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Rows [cu[s], cu[s+1]) cut in blocks of a fixed size from each sequence's start.
struct SequenceBlocks {
  const int32_t* cu;
  int64_t sequences;
  int64_t block;

  int64_t count() const {
    int64_t total = 0;
    for (int64_t s = 0; s < sequences; ++s) total += ceil_div(cu[s + 1] - cu[s], block);
    return total;
  }
  struct Place {
    int64_t sequence;
    int64_t first;  // row within the sequence
    int64_t rows;
  };
  Place find(int64_t index) const {
    for (int64_t s = 0;; ++s) {
      const int64_t length = cu[s + 1] - cu[s];
      const int64_t blocks = ceil_div(length, block);
      if (index < blocks) return {s, index * block, std::min(block, length - index * block)};
      index -= blocks;
    }
  }
};

// Which query heads share a task, so that a key or value tile is converted once for them. A
// function of the group size (query heads of one key/value head) alone.
struct HeadSplit {
  static constexpr int64_t kMaxHeads = 4;
  static constexpr int64_t kColumns = 96;  // heads times queries: two or more register tiles wide

  explicit HeadSplit(int64_t group_size)
      : group(group_size),
        parts(ceil_div(group_size, kMaxHeads)),
        heads(ceil_div(group_size, parts)),
        query_block(kColumns / heads) {}
  int64_t heads_of(int64_t part) const { return std::min(heads, group - part * heads); }

  int64_t group;
  int64_t parts;        // tasks per query block and key/value head
  int64_t heads;        // of one task, the last one perhaps fewer
  int64_t query_block;  // queries of one task
};

// Bounds start at 0, never fall and stay within the rows that exist.
inline void check_bounds(const char* operation, const char* what, const int32_t* cu,
                         int64_t sequences, int64_t rows) {
  bool valid = cu[0] == 0 && cu[sequences] <= rows;
  for (int64_t s = 0; s < sequences; ++s) valid = valid && cu[s] <= cu[s + 1];
  ATHANOR_CHECK(valid, std::string(operation) + ": " + what +
                           " must start at 0, not decrease and end within the " +
                           std::to_string(rows) + " rows");
}

// Hands out pieces of a worker's scratch, on cache lines.
class ScratchFloats {
 public:
  explicit ScratchFloats(std::byte* data) : next_(reinterpret_cast<float*>(data)) {}
  static int64_t rounded(int64_t count) { return (count + 15) / 16 * 16; }
  float* take(int64_t count) {
    float* const data = next_;
    next_ += rounded(count);
    return data;
  }

 private:
  float* next_;
};

inline void check_scratch(const char* operation, const ThreadPool& pool, int64_t floats,
                          int64_t head_dim) {
  const int64_t bytes = floats * static_cast<int64_t>(sizeof(float));
  ATHANOR_CHECK(bytes <= pool.scratch_bytes(),
                std::string(operation) + ": head_dim " + std::to_string(head_dim) + " needs " +
                    std::to_string(bytes) + " bytes of scratch per thread, the pool has " +
                    std::to_string(pool.scratch_bytes()));
}

// to[r][c] = from[r][c] * scale   to: [rows, columns], dense
template <class T>
void load_tile(float* __restrict to, const T* __restrict from, int64_t rows, int64_t columns,
               int64_t from_stride, float scale = 1.0f) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      to[r * columns + c] = to_float(from[r * from_stride + c]) * scale;
    }
  }
}

// to[c][r] = from[r][c] * scale   to: [columns, rows] with row stride to_stride
//   staging: [rows, columns]
template <class T>
void load_transposed(float* to, int64_t to_stride, const T* from, int64_t rows, int64_t columns,
                     int64_t from_stride, float scale, float* staging) {
  load_tile(staging, from, rows, columns, from_stride, scale);
  transpose_words(to, to_stride, staging, columns * 4, rows, columns);
}

// to[r][c] = from[r][c] * scale   from: [rows, columns], dense; a zero becomes positive (see below)
template <class T>
void store_tile(T* __restrict to, const float* __restrict from, float scale, int64_t rows,
                int64_t columns, int64_t to_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      to[r * to_stride + c] = from_float<T>(from[r * columns + c] * scale + 0.0f);
    }
  }
}

// to[r][c] = from[c][r] * scale[r]   from: [columns, rows] with row stride from_stride
//   staging: [rows, columns]
//   The sum with +0 makes a zero positive: adding the zeros of masked keys could have done that
//   too.
template <class T>
void store_transposed(T* __restrict to, const float* from, int64_t from_stride, const float* scale,
                      int64_t rows, int64_t columns, int64_t to_stride, float* __restrict staging) {
  transpose_words(staging, columns, from, from_stride * 4, columns, rows);
  for (int64_t r = 0; r < rows; ++r) {
    const float factor = scale[r];
    for (int64_t c = 0; c < columns; ++c) {
      to[r * to_stride + c] = from_float<T>(staging[r * columns + c] * factor + 0.0f);
    }
  }
}

// Rows that belong to no sequence.
template <class T>
void zero_rows(T* data, int64_t begin, int64_t end, int64_t columns) {
  std::fill(data + begin * columns, data + end * columns, T{});
}

}  // namespace athanor::cpu

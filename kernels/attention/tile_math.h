// The element-wise work of attention on a tile of scores, compiled once per instruction set; the
// bits are the same in all.
#pragma once

#include <cstdint>

namespace athanor::cpu {

// Of each column (query): the running maximum and sum of the softmax, what a tile multiplies
// earlier sums by, and the last key that the column sees.   all [n]
struct SoftmaxColumns {
  float* max;
  float* sum;
  float* rescale;
  const int32_t* last_key;
};

struct TileMath {
  // scores [keys, n] of keys first_key.. become exp(score - max) and enter max and sum. What a
  // column does not see (looked at only if masked) is 0 and changes none of its bits.
  void (*softmax)(float* scores, int64_t keys, int64_t n, int64_t first_key, bool masked,
                  const SoftmaxColumns& columns);
  // x[r][c] *= scale[c]   x: [rows, n]
  void (*scale_columns)(float* x, int64_t rows, int64_t n, const float* scale);
  // scores, dp [queries, keys] with row stride ld: scores become p = exp(score - lse), dp becomes
  // ds = p (dp - delta); both 0 where query i does not see key j, j > i + first_query - first_key.
  void (*gradient)(float* scores, float* dp, int64_t queries, int64_t keys, int64_t ld,
                   int64_t first_query, int64_t first_key, const float* lse, const float* delta);
  // The same on transposed tiles, without p: scores, dp [keys, n], dp becomes ds.
  void (*gradient_transposed)(const float* scores, float* dp, int64_t keys, int64_t n,
                              int64_t first_key, const int32_t* last_key, const float* lse,
                              const float* delta);
};

// The functions for the instruction set in use (kernels/cpu/isa.h).
TileMath tile_math();
TileMath tile_math_avx512();  // x86 only

}  // namespace athanor::cpu

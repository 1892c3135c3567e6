// The element-wise work of attention on a tile of scores, compiled once per instruction set; the
// bits are the same in all.
#pragma once

#include <cstdint>

namespace athanor::cpu {

// The keys that each column (query) sees: first_key .. last_key.   both [n]
struct SeenKeys {
  const int32_t* first_key;
  const int32_t* last_key;
};

// Of each column: the running maximum and sum of the softmax, what a tile multiplies earlier sums
// by, and what the column sees.   all [n]
struct SoftmaxColumns {
  float* max;
  float* sum;
  float* rescale;
  SeenKeys seen;
};

struct TileMath {
  // x[i] = cap * tanh(x[i] / cap)   x: [n]
  void (*soft_cap)(float* x, int64_t n, float cap);
  // scores [keys, n] of keys first_key.. become exp(score - max) and enter max and sum. What a
  // column does not see (looked at only if masked) is 0 and changes none of its bits; it may see
  // nothing of its first tiles.
  void (*softmax)(float* scores, int64_t keys, int64_t n, int64_t first_key, bool masked,
                  const SoftmaxColumns& columns);
  // x[r][c] *= scale[c]   x: [rows, n]
  void (*scale_columns)(float* x, int64_t rows, int64_t n, const float* scale);
  // scores, dp [queries, keys] with row stride ld: scores become p = exp(score - lse), dp becomes
  // ds = p (dp - delta); both 0 where query i does not see key j, j > i + first_query - first_key
  // or, with a window, j <= i + first_query - first_key - window. With a soft cap the scores are
  // capped ones and ds is also times 1 - (score / cap)^2.
  void (*gradient)(float* scores, float* dp, int64_t queries, int64_t keys, int64_t ld,
                   int64_t first_query, int64_t first_key, int64_t window, float soft_cap,
                   const float* lse, const float* delta);
  // The same on transposed tiles, without p: scores, dp [keys, n], dp becomes ds.
  void (*gradient_transposed)(const float* scores, float* dp, int64_t keys, int64_t n,
                              int64_t first_key, const SeenKeys& seen, float soft_cap,
                              const float* lse, const float* delta);
};

// The functions for the instruction set in use (kernels/cpu/isa.h).
TileMath tile_math();
TileMath tile_math_avx512();  // x86 only

}  // namespace athanor::cpu

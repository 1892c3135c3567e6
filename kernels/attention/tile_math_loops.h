// The loops of tile_math.h, included by one file per instruction set: everything here is in an
// unnamed namespace, so that nothing compiled for a wide CPU is shared with other files.
#pragma once

#include <cmath>

#include "kernels/attention/tile_math.h"
#include "kernels/cpu/vector_math.h"

namespace athanor::cpu {
namespace {

void soft_cap(float* __restrict x, int64_t n, float cap) {
  for (int64_t i = 0; i < n; ++i) x[i] = soft_cap_f32(x[i], cap);
}

void softmax_tile(float* __restrict scores, int64_t keys, int64_t n, int64_t first_key, bool masked,
                  const SoftmaxColumns& columns) {
  float* __restrict max = columns.max;
  float* __restrict sum = columns.sum;
  float* __restrict rescale = columns.rescale;
  const int32_t* __restrict first_seen = columns.seen.first_key;
  const int32_t* __restrict last_seen = columns.seen.last_key;
  constexpr float kHidden = -__builtin_inff();
  for (int64_t c = 0; c < n; ++c) rescale[c] = max[c];
  for (int64_t j = 0; j < keys; ++j) {
    float* __restrict row = scores + j * n;
    const int32_t key = static_cast<int32_t>(first_key + j);
    if (masked) {
      for (int64_t c = 0; c < n; ++c) {
        row[c] = key <= last_seen[c] ? row[c] : kHidden;
        row[c] = key >= first_seen[c] ? row[c] : kHidden;
      }
    }
    for (int64_t c = 0; c < n; ++c) max[c] = row[c] > max[c] ? row[c] : max[c];
  }
  // A column that has seen nothing yet subtracts 0 instead of -inf, so that its exponentials are 0.
  for (int64_t c = 0; c < n; ++c) {
    const float from = max[c] == kHidden ? 0.0f : max[c];
    rescale[c] = exp_f32(rescale[c] - from);
    sum[c] *= rescale[c];
  }
  for (int64_t j = 0; j < keys; ++j) {
    float* __restrict row = scores + j * n;
    for (int64_t c = 0; c < n; ++c) {
      const float from = max[c] == kHidden ? 0.0f : max[c];
      row[c] = exp_f32(row[c] - from);
      sum[c] += row[c];
    }
  }
}

void scale_columns(float* __restrict x, int64_t rows, int64_t n, const float* __restrict scale) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < n; ++c) x[r * n + c] *= scale[c];
  }
}

// 1 - (score / cap)^2, or 1 without a cap.
[[gnu::always_inline]] inline float cap_slope(float score, float inverse_cap) {
  const float tanh = score * inverse_cap;
  return std::fma(-tanh, tanh, 1.0f);
}

void gradient_tile(float* __restrict scores, float* __restrict dp, int64_t queries, int64_t keys,
                   int64_t ld, int64_t first_query, int64_t first_key, int64_t window,
                   float soft_cap, const float* __restrict lse, const float* __restrict delta) {
  const float inverse_cap = soft_cap > 0 ? 1.0f / soft_cap : 0.0f;
  for (int64_t i = 0; i < queries; ++i) {
    float* __restrict p_row = scores + i * ld;
    float* __restrict ds_row = dp + i * ld;
    const int64_t last = first_query + i - first_key;  // may be beyond the tile, or before it
    const int64_t end = last + 1 < 0 ? 0 : last + 1 < keys ? last + 1 : keys;
    int64_t begin = window > 0 && last - window + 1 > 0 ? last - window + 1 : 0;
    begin = begin < end ? begin : end;
    const float row_lse = lse[i];
    const float row_delta = delta[i];
    for (int64_t j = 0; j < begin; ++j) p_row[j] = ds_row[j] = 0.0f;
    if (soft_cap > 0) {
      for (int64_t j = begin; j < end; ++j) {
        const float slope = cap_slope(p_row[j], inverse_cap);
        p_row[j] = exp_f32(p_row[j] - row_lse);
        ds_row[j] = p_row[j] * (ds_row[j] - row_delta) * slope;
      }
    } else {
      for (int64_t j = begin; j < end; ++j) {
        p_row[j] = exp_f32(p_row[j] - row_lse);
        ds_row[j] = p_row[j] * (ds_row[j] - row_delta);
      }
    }
    for (int64_t j = end; j < keys; ++j) p_row[j] = ds_row[j] = 0.0f;
  }
}

void gradient_tile_transposed(const float* __restrict scores, float* __restrict dp, int64_t keys,
                              int64_t n, int64_t first_key, const SeenKeys& seen, float soft_cap,
                              const float* __restrict lse, const float* __restrict delta) {
  const int32_t* __restrict first_seen = seen.first_key;
  const int32_t* __restrict last_seen = seen.last_key;
  const float inverse_cap = soft_cap > 0 ? 1.0f / soft_cap : 0.0f;
  for (int64_t j = 0; j < keys; ++j) {
    const float* __restrict row = scores + j * n;
    float* __restrict ds_row = dp + j * n;
    const int32_t key = static_cast<int32_t>(first_key + j);
    for (int64_t c = 0; c < n; ++c) {
      float ds = exp_f32(row[c] - lse[c]) * (ds_row[c] - delta[c]);
      ds *= cap_slope(row[c], inverse_cap);
      ds = key <= last_seen[c] ? ds : 0.0f;
      ds_row[c] = key >= first_seen[c] ? ds : 0.0f;
    }
  }
}

constexpr TileMath kTileMath{soft_cap, softmax_tile, scale_columns, gradient_tile,
                             gradient_tile_transposed};

}  // namespace
}  // namespace athanor::cpu

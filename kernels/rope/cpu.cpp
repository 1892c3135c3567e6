#include "kernels/rope/cpu.h"

#include <cmath>
#include <string>

#include "core/dtype.h"
#include "core/error.h"
#include "kernels/elementwise/tiles.h"
#include "kernels/rope/frequency.h"

namespace athanor::cpu {
namespace {

// sign = 1 turns forward, -1 back.
template <class T>
void rotate_head(T* __restrict low, T* __restrict high, const float* __restrict cosines,
                 const float* __restrict sines, float sign, int64_t half) {
  for (int64_t j = 0; j < half; ++j) {
    const float a = to_float(low[j]);
    const float b = to_float(high[j]);
    const float s = sign * sines[j];
    low[j] = from_float<T>(std::fma(a, cosines[j], -(b * s)));
    high[j] = from_float<T>(std::fma(b, cosines[j], a * s));
  }
}

}  // namespace

void rope_table(ThreadPool& pool, float* cos_sin, const RopeSettings& settings, int64_t positions,
                int64_t rotary_dim) {
  const int64_t half = rotary_dim / 2;
  const auto scale = static_cast<float>(settings.attention_factor);
  for_chunks(pool, half, 1, [&](int64_t j, int64_t, int) {
    const float frequency = rope_frequency(settings, j, rotary_dim);
    for (int64_t p = 0; p < positions; ++p) {
      const double angle = static_cast<double>(static_cast<float>(p) * frequency);
      cos_sin[p * rotary_dim + j] = static_cast<float>(std::cos(angle)) * scale;
      cos_sin[p * rotary_dim + half + j] = static_cast<float>(std::sin(angle)) * scale;
    }
  });
}

template <class T>
void rope(ThreadPool& pool, T* x, const int32_t* positions, const float* cos_sin, int64_t tokens,
          int64_t heads, int64_t head_dim, int64_t rotary_dim, int64_t table_rows, bool inverse) {
  const int64_t half = rotary_dim / 2;
  const float sign = inverse ? -1.0f : 1.0f;
  const int64_t columns = heads * head_dim;
  for_chunks(pool, tokens, rows_per_chunk(columns), [&](int64_t begin, int64_t count, int) {
    for (int64_t n = begin; n < begin + count; ++n) {
      ATHANOR_CHECK(
          positions[n] >= 0 && positions[n] < table_rows,
          "rope: position " + std::to_string(positions[n]) + " of " + std::to_string(table_rows));
      const float* row = cos_sin + positions[n] * rotary_dim;
      for (T* head = x + n * columns; head < x + (n + 1) * columns; head += head_dim) {
        rotate_head(head, head + half, row, row + half, sign, half);
      }
    }
  });
}

template void rope(ThreadPool&, float*, const int32_t*, const float*, int64_t, int64_t, int64_t,
                   int64_t, int64_t, bool);
template void rope(ThreadPool&, bfloat16*, const int32_t*, const float*, int64_t, int64_t, int64_t,
                   int64_t, int64_t, bool);

}  // namespace athanor::cpu

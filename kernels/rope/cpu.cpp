#include "kernels/rope/cpu.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "core/dtype.h"
#include "core/error.h"
#include "kernels/elementwise/tiles.h"

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

// Where in j a wave turns `rotations` times within the original context.
double yarn_dimension(const RopeSettings& s, double rotations, double rotary_dim) {
  return rotary_dim * std::log(s.original_positions / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(s.theta));
}

// The share of the unscaled frequency, from 1 at j <= low to 0 at j >= high.
float yarn_share(const RopeSettings& s, int64_t j, int64_t rotary_dim) {
  const auto dim = static_cast<double>(rotary_dim);
  double low = yarn_dimension(s, s.beta_fast, dim);
  double high = yarn_dimension(s, s.beta_slow, dim);
  if (s.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  const float ramp =
      (static_cast<float>(j) - static_cast<float>(low)) / static_cast<float>(high - low);
  return 1.0f - std::clamp(ramp, 0.0f, 1.0f);
}

float llama3_frequency(const RopeSettings& s, float frequency) {
  const auto factor = static_cast<float>(s.factor);
  const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
  const auto longest = static_cast<float>(s.original_positions / s.low_freq_factor);
  const auto shortest = static_cast<float>(s.original_positions / s.high_freq_factor);
  if (wavelength > longest) return frequency / factor;
  if (wavelength < shortest) return frequency;
  const float smooth = (static_cast<float>(s.original_positions) / wavelength -
                        static_cast<float>(s.low_freq_factor)) /
                       static_cast<float>(s.high_freq_factor - s.low_freq_factor);
  return (1.0f - smooth) * frequency / factor + smooth * frequency;
}

float frequency_of(const RopeSettings& s, int64_t j, int64_t rotary_dim) {
  const float exponent = static_cast<float>(2 * j) / static_cast<float>(rotary_dim);
  const auto power = static_cast<float>(
      std::pow(static_cast<double>(static_cast<float>(s.theta)), static_cast<double>(exponent)));
  const float frequency = 1.0f / power;
  switch (s.scaling) {
    case RopeScaling::kDefault:
      return frequency;
    case RopeScaling::kLinear:
      return frequency / static_cast<float>(s.factor);
    case RopeScaling::kLlama3:
      return llama3_frequency(s, frequency);
    case RopeScaling::kYarn: {
      const float share = yarn_share(s, j, rotary_dim);
      const float interpolated = 1.0f / (static_cast<float>(s.factor) * power);
      return interpolated * (1.0f - share) + frequency * share;
    }
  }
  return frequency;
}

}  // namespace

void rope_table(ThreadPool& pool, float* cos_sin, const RopeSettings& settings, int64_t positions,
                int64_t rotary_dim) {
  const int64_t half = rotary_dim / 2;
  const auto scale = static_cast<float>(settings.attention_factor);
  for_chunks(pool, half, 1, [&](int64_t j, int64_t, int) {
    const float frequency = frequency_of(settings, j, rotary_dim);
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

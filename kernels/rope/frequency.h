// The frequency of a pair of elements under the scalings of rope.h, the same for CPU and GPU.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "core/host_device.h"
#include "kernels/rope/rope.h"

namespace athanor {

// Where in j a wave turns `rotations` times within the original context.
ATHANOR_HOST_DEVICE inline double yarn_dimension(const RopeSettings& s, double rotations,
                                                 double rotary_dim) {
  return rotary_dim * std::log(s.original_positions / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(s.theta));
}

// The share of the unscaled frequency, from 1 at j <= low to 0 at j >= high.
ATHANOR_HOST_DEVICE inline float yarn_share(const RopeSettings& s, int64_t j, int64_t rotary_dim) {
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

ATHANOR_HOST_DEVICE inline float llama3_frequency(const RopeSettings& s, float frequency) {
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

ATHANOR_HOST_DEVICE inline float rope_frequency(const RopeSettings& s, int64_t j,
                                                int64_t rotary_dim) {
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

}  // namespace athanor

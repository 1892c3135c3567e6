// f and f' of gated units, the same for CPU and GPU (formulas: swiglu.h).
#pragma once

#include <cmath>

#include "core/host_device.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/swiglu/swiglu.h"

namespace athanor {

inline constexpr float kSqrt2OverPi = 0.797884560802865356f;
inline constexpr float kCubic = 0.044715f;

// f(g) and f'(g).
struct Gated {
  float value;
  float slope;
};

template <GateFunction function>
[[gnu::always_inline]] ATHANOR_HOST_DEVICE inline float gated_value(float g) {
  if constexpr (function == GateFunction::kSilu) return g * sigmoid_f32(g);
  const float u = kSqrt2OverPi * std::fma(kCubic * g * g, g, g);
  return g * sigmoid_f32(2.0f * u);
}

template <GateFunction function>
[[gnu::always_inline]] ATHANOR_HOST_DEVICE inline Gated gated(float g) {
  if constexpr (function == GateFunction::kSilu) {
    const float s = sigmoid_f32(g);
    return {g * s, s * std::fma(g, 1.0f - s, 1.0f)};
  }
  const float square = g * g;
  const float s = sigmoid_f32(2.0f * kSqrt2OverPi * std::fma(kCubic * square, g, g));
  const float inner = 2.0f * kSqrt2OverPi * std::fma(3.0f * kCubic, square, 1.0f);
  return {g * s, s * std::fma(g * inner, 1.0f - s, 1.0f)};
}

}  // namespace athanor

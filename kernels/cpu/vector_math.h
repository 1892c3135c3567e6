// exp, sigmoid and tanh in float32 as straight-line code: no branch, no table, no call, so that gcc
// -O3 turns a loop over them into vector code of any width, and a lane has the same bits as the
// scalar (every step is one IEEE operation; fma is written out). Used by softmax, cross-entropy,
// SwiGLU.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "core/host_device.h"

namespace athanor {

// e^x, at most 1.01 ulp off (checked over all floats): x = n ln2 + r with |r| <= ln2 / 2, e^r by a
// polynomial (the coefficients of Cephes' expf), times 2^n in two factors so that overflow becomes
// infinity and tiny results round into subnormals. exp(-inf) = 0, exp(0) = 1 exactly, NaN stays
// NaN.
[[gnu::always_inline]] ATHANOR_HOST_DEVICE inline float exp_f32(float x) {
  constexpr float kLog2E = 1.44269504088896341f;
  constexpr float kLn2High = 0.693359375f;  // few bits: n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  // Beyond these the result is 0 or infinity anyway. A NaN compares false and passes.
  x = x < -105.0f ? -105.0f : x;
  x = x > 90.0f ? 90.0f : x;
  const float shifted = std::fma(x, kLog2E, kRound);
  const float n = shifted - kRound;
  float r = std::fma(n, -kLn2High, x);
  r = std::fma(n, -kLn2Low, r);
  float p = 1.9875691500e-4f;
  p = std::fma(p, r, 1.3981999507e-3f);
  p = std::fma(p, r, 8.3334519073e-3f);
  p = std::fma(p, r, 4.1665795894e-2f);
  p = std::fma(p, r, 1.6666665459e-1f);
  p = std::fma(p, r, 5.0000001201e-1f);
  const float power = 1.0f + std::fma(p, r * r, r);
  const int32_t exponent =
      static_cast<int32_t>(std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRound));
  const int32_t half = exponent >> 1;
  const auto pow2 = [](int32_t e) {
    return std::bit_cast<float>((static_cast<uint32_t>(e) + 127u) << 23);
  };
  return power * pow2(half) *
         pow2(static_cast<int32_t>(static_cast<uint32_t>(exponent) - static_cast<uint32_t>(half)));
}

// 1 / (1 + e^-x).
[[gnu::always_inline]] ATHANOR_HOST_DEVICE inline float sigmoid_f32(float x) {
  return 1.0f / (1.0f + exp_f32(-x));
}

// tanh(x), at most 2 ulp off: near 0 an odd polynomial (the coefficients of Cephes' tanhf),
// elsewhere 1 - 2 / (e^2|x| + 1). NaN stays NaN.
[[gnu::always_inline]] ATHANOR_HOST_DEVICE inline float tanh_f32(float x) {
  const float z = x * x;
  float p = -5.70498872745e-3f;
  p = std::fma(p, z, 2.06390887954e-2f);
  p = std::fma(p, z, -5.37397155531e-2f);
  p = std::fma(p, z, 1.33314422036e-1f);
  p = std::fma(p, z, -3.33332819422e-1f);
  const float small = std::fma(p * z, x, x);
  const float magnitude = std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0x7fffffffu);
  const float large = 1.0f - 2.0f / (exp_f32(2.0f * magnitude) + 1.0f);
  const float with_sign = std::bit_cast<float>(std::bit_cast<uint32_t>(large) |
                                               (std::bit_cast<uint32_t>(x) & 0x80000000u));
  return magnitude < 0.625f ? small : with_sign;
}

// cap * tanh(x / cap)
[[gnu::always_inline]] ATHANOR_HOST_DEVICE inline float soft_cap_f32(float x, float cap) {
  return cap * tanh_f32(x / cap);
}

// x * sigmoid(x). At x = -inf this is NaN, as the formula says.
[[gnu::always_inline]] ATHANOR_HOST_DEVICE inline float silu_f32(float x) {
  return x * sigmoid_f32(x);
}

}  // namespace athanor

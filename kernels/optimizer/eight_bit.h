// Moments in eight bits an element: blocks of 128 codes and the largest magnitude of the block
// (block-wise dynamic quantization: Dettmers et al., "8-bit Optimizers via Block-wise
// Quantization", arXiv:2110.02861; the code is the dynamic tree of arXiv:1511.04561).
//
// An element is code_value(kind, code) * absmax. A code is a sign where the kind has one, a decade
// 10^-6 ... 1 and a fraction in [0.1, 1): the larger the decade, the finer the fraction. The
// block of a moment that is all zeros has absmax 0.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace athanor {

inline constexpr int kEightBitBlock = 128;

struct EightBitBlock {
  float absmax;
  uint8_t code[kEightBitBlock];
};
static_assert(sizeof(EightBitBlock) == 132);

enum class EightBitKind { kSigned, kUnsigned };

// Fraction `j` of 2^bits in decade `d` (0: 10^-6 ... 6: 1).
ATHANOR_HOST_DEVICE inline float dynamic_fraction(int d, int bits, int j) {
  double power = 1.0;
  for (int i = d; i < 6; ++i) power /= 10.0;
  return static_cast<float>(power * (0.1 + 0.9 * (j + 0.5) / (1 << bits)));
}

// The 127 positive codes of a kind with sign below 1, ascending: 2^d in decade d.
ATHANOR_HOST_DEVICE inline float positive_code(int index) {
  int d = 0;
  while ((2 << d) <= index + 1) ++d;
  return dynamic_fraction(d, d, index + 1 - (1 << d));
}

// Codes ascend with their values: [-0.99..., ..., 0 (127), ..., 1] and [0 (0), ..., 1].
ATHANOR_HOST_DEVICE inline float code_value(EightBitKind kind, int code) {
  if (code == 255) return 1.0f;
  if (kind == EightBitKind::kSigned) {
    if (code == 127) return 0.0f;
    return code < 127 ? -positive_code(126 - code) : positive_code(code - 128);
  }
  if (code == 0) return 0.0f;
  int d = 0;  // 2^(d + 1) in decade d
  while ((4 << d) <= code + 1) ++d;
  return dynamic_fraction(d, d + 1, code + 1 - (2 << d));
}

inline constexpr int kSignedZero = 127;

// Between a code and the next.
ATHANOR_HOST_DEVICE inline float code_midpoint(const float* values, int code) {
  return (values[code] + values[code + 1]) * 0.5f;
}

// The nearest code of x in [-1, 1], of two equally near ones the lower: the number of midpoints
// below x. `values`: code_value of all codes.
ATHANOR_HOST_DEVICE inline int nearest_code(const float* values, float x) {
  int low = 0;
  for (int step = 128; step > 0; step /= 2) {
    if (code_midpoint(values, low + step - 1) < x) low += step;
  }
  return low;
}

// What an element of the two moments becomes. The second moment divides: one that is not zero is
// kept at the smallest code at least, as the first moment over nothing would be a leap.
ATHANOR_HOST_DEVICE inline float share_of(float x, float absmax) {
  return absmax > 0 ? x / absmax : 0.0f;
}
ATHANOR_HOST_DEVICE inline int second_moment_code(int nearest, float v) {
  return nearest == 0 && v > 0 ? 1 : nearest;
}

}  // namespace athanor

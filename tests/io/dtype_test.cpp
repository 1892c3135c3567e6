// 16-bit conversions against a slow reference in double, and against facts of the formats.
#include "core/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace athanor {
namespace {

float as_float(uint32_t bits) { return std::bit_cast<float>(bits); }

// Bits of all kinds: every exponent, mantissas around all rounding boundaries of both formats.
template <class Visit>
void for_interesting_floats(Visit visit) {
  for (uint32_t high = 0; high < 0x10000u; ++high) {
    for (const uint32_t low : {0x0000u, 0x0001u, 0x0fffu, 0x1000u, 0x1001u, 0x2000u, 0x3000u,
                               0x7fffu, 0x8000u, 0x8001u, 0xf000u, 0xffffu}) {
      visit((high << 16) | low);
    }
  }
}

// Nearest multiple of 2^(exponent of x - digits), ties to even, not below the smallest subnormal.
double round_reference(double x, int digits, int min_exponent) {
  if (x == 0.0) return x;
  const int exponent = std::max(std::ilogb(x), min_exponent);
  const double unit = std::ldexp(1.0, exponent - digits);
  return std::nearbyint(x / unit) * unit;  // exact division by a power of two
}

TEST(DType, SizesAndNamesFit) {
  for (const DType dtype :
       {DType::kF32, DType::kBF16, DType::kF16, DType::kI32, DType::kI64, DType::kU8}) {
    DType back = DType::kU8;
    EXPECT_TRUE(dtype_from_name(dtype_name(dtype), &back));
    EXPECT_EQ(back, dtype);
  }
  DType unused = DType::kF32;
  EXPECT_FALSE(dtype_from_name("f32", &unused));
  EXPECT_EQ(dtype_size(dtype_of<float>), 4);
  EXPECT_EQ(dtype_size(dtype_of<bfloat16>), static_cast<int64_t>(sizeof(bfloat16)));
  EXPECT_EQ(dtype_size(dtype_of<float16>), static_cast<int64_t>(sizeof(float16)));
  EXPECT_EQ(dtype_size(dtype_of<int64_t>), 8);
}

TEST(BFloat16, EveryValueSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const bfloat16 value{static_cast<uint16_t>(bits)};
    const float wide = to_float(value);
    EXPECT_EQ(std::bit_cast<uint32_t>(wide), bits << 16);
    if (std::isnan(wide)) {
      EXPECT_EQ(to_bfloat16(wide).bits, bits | 0x40u);  // quiet, payload and sign kept
    } else {
      EXPECT_EQ(to_bfloat16(wide), value);
    }
  }
}

TEST(BFloat16, RoundsToNearestEven) {
  int64_t wrong = 0;
  for_interesting_floats([&](uint32_t bits) {
    const float x = as_float(bits);
    const float y = to_float(to_bfloat16(x));
    if (std::isnan(x)) {
      wrong += std::isnan(y) ? 0 : 1;
    } else if (std::isfinite(x)) {
      const double expected = round_reference(x, 7, -126);
      const bool overflows = std::abs(expected) >= 0x1p128;
      wrong += (overflows ? std::isinf(y) && std::signbit(y) == std::signbit(x)
                          : static_cast<double>(y) == expected)
                   ? 0
                   : 1;
    } else {
      wrong += y == x ? 0 : 1;
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(BFloat16, KeepsNaNsWhosePayloadIsInTheLowBits) {
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(as_float(0x7f800001u)))));
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(as_float(0xffffffffu)))));
}

TEST(Float16, EveryValueSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const float16 value{static_cast<uint16_t>(bits)};
    const float wide = to_float(value);
    if (std::isnan(wide)) {
      EXPECT_EQ(to_float16(wide).bits, bits | 0x200u);
    } else {
      EXPECT_EQ(to_float16(wide), value);
    }
  }
}

TEST(Float16, RoundsToNearestEvenThroughSubnormals) {
  int64_t wrong = 0;
  for_interesting_floats([&](uint32_t bits) {
    const float x = as_float(bits);
    const float y = to_float(to_float16(x));
    if (std::isnan(x)) {
      wrong += std::isnan(y) ? 0 : 1;
    } else if (std::isfinite(x)) {
      const double expected = round_reference(x, 10, -14);
      const bool overflows = std::abs(expected) >= 65536.0;
      const bool right = overflows ? std::isinf(y) : static_cast<double>(y) == expected;
      wrong += right && std::signbit(y) == std::signbit(x) ? 0 : 1;
    } else {
      wrong += y == x ? 0 : 1;
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(Float16, KnownValues) {
  static_assert(to_float16(1.0f).bits == 0x3c00);
  static_assert(to_float16(65504.0f).bits == 0x7bff);
  static_assert(to_float16(65519.99f).bits == 0x7bff);
  static_assert(to_float16(65520.0f).bits == 0x7c00);
  static_assert(to_float16(-0.0f).bits == 0x8000);
  static_assert(to_float16(0x1p-24f).bits == 0x0001);
  static_assert(to_float16(0x1p-25f).bits == 0x0000);
  static_assert(to_float16(0x1.000002p-25f).bits == 0x0001);
  static_assert(to_float(float16{0x03ff}) == 0x1.ff8p-15f);
  EXPECT_EQ(to_float16(std::numeric_limits<float>::infinity()).bits, 0x7c00);
}

}  // namespace
}  // namespace athanor

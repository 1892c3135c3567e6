// Conversions of the 16-bit types: exhaustive where that is cheap.
#include "core/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace athanor {
namespace {

TEST(DType, NamesRoundTrip) {
  for (DType dtype :
       {DType::kF32, DType::kBF16, DType::kF16, DType::kI32, DType::kI64, DType::kU8}) {
    DType found = DType::kU8;
    EXPECT_TRUE(dtype_from_name(dtype_name(dtype), &found));
    EXPECT_EQ(found, dtype);
  }
  DType untouched = DType::kI64;
  EXPECT_FALSE(dtype_from_name("F64", &untouched));
  EXPECT_EQ(untouched, DType::kI64);
}

TEST(SixteenBits, EveryValueSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const bfloat16 brain{static_cast<uint16_t>(bits)};
    const float16 half{static_cast<uint16_t>(bits)};
    if (!std::isnan(to_float(brain))) {
      ASSERT_EQ(to_bfloat16(to_float(brain)).bits, bits);
    }
    if (!std::isnan(to_float(half))) {
      ASSERT_EQ(to_float16(to_float(half)).bits, bits);
    }
    ASSERT_EQ(std::isnan(to_float(brain)), std::isnan(to_float(to_bfloat16(to_float(brain)))));
    ASSERT_EQ(std::isnan(to_float(half)), std::isnan(to_float(to_float16(to_float(half)))));
  }
}

// Between neighbours a < b: everything up to the middle goes to a, beyond it to b, the middle
// itself to the even one.
template <class T, class Round>
void check_neighbours(uint32_t last_finite, const Round& round) {
  for (uint32_t bits = 0; bits < last_finite; ++bits) {
    const float a = to_float(T{static_cast<uint16_t>(bits)});
    const float b = to_float(T{static_cast<uint16_t>(bits + 1)});
    const float middle = a + (b - a) / 2;
    ASSERT_EQ(round(std::nextafter(middle, 0.0f)).bits, bits);
    ASSERT_EQ(round(middle).bits, bits + (bits & 1));
    ASSERT_EQ(round(std::nextafter(middle, INFINITY)).bits, bits + 1);
    ASSERT_EQ(round(-middle).bits, 0x8000 + bits + (bits & 1));
  }
}

TEST(SixteenBits, RoundToNearestEven) {
  check_neighbours<bfloat16>(0x7f7f, [](float value) { return to_bfloat16(value); });
  check_neighbours<float16>(0x7bff, [](float value) { return to_float16(value); });
}

TEST(SixteenBits, OverflowToInfinity) {
  EXPECT_EQ(to_float(to_bfloat16(std::numeric_limits<float>::max())), INFINITY);
  EXPECT_EQ(to_float(to_float16(65519.0f)), 65504.0f);
  EXPECT_EQ(to_float(to_float16(65520.0f)), INFINITY);
  EXPECT_EQ(to_float(to_float16(-1e30f)), -INFINITY);
  EXPECT_EQ(to_float(to_float16(0x1p-25f)), 0.0f);
}

}  // namespace
}  // namespace athanor

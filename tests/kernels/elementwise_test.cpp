// Every result is one rounding of one float32 operation, so all comparisons are of bits.
#include "kernels/elementwise/elementwise.h"

#include "tests/support/same_bits.h"

namespace athanor::testing {
namespace {

const std::vector<int64_t> kSizes = {0, 1, 7, 511, 513, 16384, 40001};

class Elementwise : public ::testing::TestWithParam<DType> {
 protected:
  // What storing `value` in the dtype under test gives.
  static float rounded(float value) {
    return GetParam() == DType::kF32 ? value : to_float(to_bfloat16(value));
  }
};

TEST_P(Elementwise, AddAndScaleRoundOnce) {
  for (int64_t n : kSizes) {
    CpuContext context;
    Owned a(context, GetParam(), {n});
    Owned b(context, GetParam(), {n});
    Owned sum(context, GetParam(), {n});
    Owned scaled(context, GetParam(), {n});
    a.fill_random(1);
    b.fill_random(2, 3.0f);
    add(sum, a, b, context.stream);
    scale(scaled, a, 0.3f, context.stream);
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(sum.get(i), rounded(a.get(i) + b.get(i))) << i;
      ASSERT_EQ(scaled.get(i), rounded(a.get(i) * 0.3f)) << i;
    }
  }
}

TEST_P(Elementwise, OutputMayBeAnInput) {
  CpuContext context;
  const int64_t n = 1003;
  Owned a(context, GetParam(), {n});
  Owned b(context, GetParam(), {n});
  Owned want(context, GetParam(), {n});
  a.fill_random(1);
  b.fill_random(2);
  add(want, a, b, context.stream);
  add(b, a, b, context.stream);
  EXPECT_TRUE(b.bytes() == want.bytes());
  scale(want, b, 2.5f, context.stream);
  scale(b, b, 2.5f, context.stream);
  EXPECT_TRUE(b.bytes() == want.bytes());
  add(want, a, a, context.stream);
  add(a, a, a, context.stream);
  EXPECT_TRUE(a.bytes() == want.bytes());
}

TEST_P(Elementwise, CopyCastsOnceAndZeroClears) {
  for (int64_t n : kSizes) {
    CpuContext context;
    Owned x(context, GetParam(), {n});
    Owned same(context, GetParam(), {n});
    Owned wide(context, DType::kF32, {n});
    Owned small(context, DType::kBF16, {n});
    x.fill_random(5);
    copy(same, x, context.stream);
    copy(wide, x, context.stream);
    copy(small, x, context.stream);
    EXPECT_TRUE(same.bytes() == x.bytes());
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(wide.get(i), x.get(i));
      ASSERT_EQ(small.get(i), to_float(to_bfloat16(x.get(i))));
    }
    fill_zero(x, context.stream);
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(x.get(i), 0.0f);
  }
}

TEST_P(Elementwise, ScatterUndoesGather) {
  CpuContext context;
  const int64_t columns = 37;
  Owned x(context, GetParam(), {9, columns});
  Owned y(context, GetParam(), {4, columns});
  Owned back(context, GetParam(), {9, columns});
  x.fill_random(6);
  back.fill_random(7);
  std::vector<int32_t> rows = {8, 0, 3, 5};
  gather_rows(y, x, int_tensor(context, rows), context.stream);
  scatter_rows(back, y, int_tensor(context, rows), context.stream);
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t n = 0; n < 4; ++n) {
      ASSERT_EQ(y.get(n * columns + c), x.get(rows[static_cast<size_t>(n)] * columns + c));
    }
    for (int64_t m = 0; m < 9; ++m) {
      const bool gathered = m == 8 || m == 0 || m == 3 || m == 5;
      ASSERT_EQ(back.get(m * columns + c), gathered ? x.get(m * columns + c) : 0.0f);
    }
  }
}

TEST_P(Elementwise, GatherOfNothingAndScatterOfNothing) {
  CpuContext context;
  Owned x(context, GetParam(), {3, 5});
  Owned none(context, GetParam(), {0, 5});
  x.fill_random(8);
  std::vector<int32_t> rows;
  gather_rows(none, x, int_tensor(context, rows), context.stream);
  scatter_rows(x, none, int_tensor(context, rows), context.stream);
  for (int64_t i = 0; i < 15; ++i) EXPECT_EQ(x.get(i), 0.0f);
}

TEST_P(Elementwise, SameBitsOnAnyThreads) {
  expect_same_bits_on_any_threads([](CpuContext& context) {
    Owned a(context, GetParam(), {50001});
    Owned b(context, GetParam(), {50001});
    a.fill_random(1);
    b.fill_random(2);
    add(a, a, b, context.stream);
    scale(b, a, 1.1f, context.stream);
    return b.bytes();
  });
}

INSTANTIATE_TEST_SUITE_P(DTypes, Elementwise, ::testing::Values(DType::kF32, DType::kBF16),
                         dtype_test_name);

TEST(ElementwiseChecks, RefuseRowsOutsideAndOtherDtypes) {
  CpuContext context;
  ATHANOR_SKIP_UNLESS_CPU(context);
  Owned x(context, DType::kF32, {3, 4});
  Owned y(context, DType::kF32, {2, 4});
  Owned half(context, DType::kBF16, {2, 4});
  std::vector<int32_t> rows = {0, 3};
  EXPECT_THROW(gather_rows(y, x, int_tensor(context, rows), context.stream), Error);
  EXPECT_THROW(scatter_rows(x, y, int_tensor(context, rows), context.stream), Error);
  rows = {0, 1};
  EXPECT_THROW(gather_rows(half, x, int_tensor(context, rows), context.stream), Error);
  EXPECT_THROW(add(y, y, half, context.stream), Error);
}

TEST(ElementwiseCopy, RoundsEveryBfloat16NeighbourhoodLikeTheScalarConversion) {
  CpuContext context;
  const int64_t n = 65536 * 4;
  Owned x(context, DType::kF32, {n});
  Owned y(context, DType::kBF16, {n});
  auto* bits = static_cast<uint32_t*>(x.host().raw());
  const uint32_t low[] = {0x0000, 0x7fff, 0x8000, 0x8001};
  for (uint32_t i = 0; i < n; ++i) bits[i] = (i / 4) << 16 | low[i % 4];
  copy(y, x, context.stream);
  for (int64_t i = 0; i < n; ++i) {
    ASSERT_EQ(y.host().data<bfloat16>()[i].bits, to_bfloat16(x.get(i)).bits) << i;
  }
}

}  // namespace
}  // namespace athanor::testing

// The mask is a pure function of its key: compared with the scalar formula, bit for bit.
#include "kernels/dropout/dropout.h"

#include "tests/support/same_bits.h"

namespace athanor::testing {
namespace {

// Written apart from kernels/dropout/mask.h on purpose: this is the documented layout.
bool kept(const StepScalars& scalars, const DropoutSite& site, int64_t element) {
  const uint64_t key = scalars.seed ^ 0x9D3C77E15B20A4F6;
  const PhiloxBlock block =
      philox4x32({static_cast<uint32_t>(element / 4), static_cast<uint32_t>(scalars.step),
                  static_cast<uint32_t>(site.micro_batch), static_cast<uint32_t>(site.site)},
                 static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32));
  return uniform_from_bits(block[static_cast<size_t>(element % 4)]) >= site.probability;
}

StepScalars scalars_of(uint64_t seed, uint64_t step) {
  StepScalars scalars;
  scalars.seed = seed;
  scalars.step = step;
  return scalars;
}

std::vector<std::byte> mask_bytes(const StepScalars& scalars, const DropoutSite& site) {
  CpuContext context(1);
  Owned x(context, DType::kF32, {4000});
  for (int64_t i = 0; i < 4000; ++i) x.set(i, 1.0f);
  dropout(x, x, site, &scalars, context.stream);
  return x.bytes();
}

class Dropout : public ::testing::TestWithParam<DType> {
 protected:
  static float rounded(float value) {
    return GetParam() == DType::kF32 ? value : to_float(to_bfloat16(value));
  }
};

TEST_P(Dropout, FollowsTheDocumentedMask) {
  const StepScalars scalars = scalars_of(0x0123'4567'89AB'CDEF, 41);
  for (float p : {0.0f, 0.05f, 0.5f, 0.99f}) {
    for (int64_t n : {0, 1, 3, 513, 16389}) {
      CpuContext context;
      const DropoutSite site{p, 17, 923};
      Owned x(context, GetParam(), {n});
      Owned y(context, GetParam(), {n});
      Owned sum(context, GetParam(), {n});
      x.fill_random(1);
      sum.fill_random(2);
      const std::vector<double> before = sum.values();
      dropout(y, x, site, &scalars, context.stream);
      dropout_add(sum, x, site, &scalars, context.stream);
      for (int64_t i = 0; i < n; ++i) {
        const float value = kept(scalars, site, i) ? x.get(i) * (1.0f / (1.0f - p)) : 0.0f;
        ASSERT_EQ(y.get(i), rounded(value)) << i;
        ASSERT_EQ(sum.get(i), rounded(static_cast<float>(before[static_cast<size_t>(i)]) + value))
            << i;
      }
    }
  }
}

TEST_P(Dropout, InPlaceGivesTheSameBits) {
  CpuContext context;
  const StepScalars scalars = scalars_of(5, 0);
  Owned x(context, GetParam(), {1111});
  Owned y(context, GetParam(), {1111});
  x.fill_random(1);
  dropout(y, x, {0.3f, 0, 0}, &scalars, context.stream);
  dropout(x, x, {0.3f, 0, 0}, &scalars, context.stream);
  EXPECT_TRUE(x.bytes() == y.bytes());
}

TEST_P(Dropout, SameBitsOnAnyThreads) {
  const StepScalars scalars = scalars_of(5, 3);
  expect_same_bits_on_any_threads([&](CpuContext& context) {
    Owned x(context, GetParam(), {123, 457});
    x.fill_random(1);
    dropout(x, x, {0.1f, 2, 3}, &scalars, context.stream);
    return x.bytes();
  });
}

INSTANTIATE_TEST_SUITE_P(DTypes, Dropout, ::testing::Values(DType::kF32, DType::kBF16),
                         dtype_test_name);

TEST(DropoutMask, DependsOnEveryPartOfItsKey) {
  const DropoutSite site{0.5f, 1, 2};
  const std::vector<std::byte> base = mask_bytes(scalars_of(7, 3), site);
  EXPECT_TRUE(base == mask_bytes(scalars_of(7, 3), site));
  EXPECT_FALSE(base == mask_bytes(scalars_of(8, 3), site));
  EXPECT_FALSE(base == mask_bytes(scalars_of(7 + (uint64_t{1} << 40), 3), site));
  EXPECT_FALSE(base == mask_bytes(scalars_of(7, 4), site));
  EXPECT_FALSE(base == mask_bytes(scalars_of(7, 3), {0.5f, 2, 2}));
  EXPECT_FALSE(base == mask_bytes(scalars_of(7, 3), {0.5f, 1, 3}));
}

TEST(DropoutMask, DropsItsShare) {
  CpuContext context;
  const int64_t n = 200'000;
  const StepScalars scalars = scalars_of(1, 0);
  for (float p : {0.05f, 0.1f, 0.5f}) {
    Owned x(context, DType::kF32, {n});
    for (int64_t i = 0; i < n; ++i) x.set(i, 1.0f);
    dropout(x, x, {p, 0, 0}, &scalars, context.stream);
    int64_t dropped = 0;
    for (int64_t i = 0; i < n; ++i) dropped += x.get(i) == 0.0f;
    const double sigma = std::sqrt(static_cast<double>(n) * p * (1 - p));
    EXPECT_NEAR(static_cast<double>(dropped), static_cast<double>(n) * p, 5 * sigma);
  }
}

TEST(DropoutMask, DroppedInfinitiesBecomeZero) {
  CpuContext context;
  const StepScalars scalars = scalars_of(1, 0);
  const DropoutSite site{0.5f, 0, 0};
  Owned x(context, DType::kF32, {256});
  for (int64_t i = 0; i < 256; ++i) x.set(i, INFINITY);
  dropout(x, x, site, &scalars, context.stream);
  for (int64_t i = 0; i < 256; ++i) {
    ASSERT_EQ(x.get(i), kept(scalars, site, i) ? INFINITY : 0.0f) << i;
  }
}

TEST(DropoutChecks, RefuseProbabilitiesOutsideTheRange) {
  CpuContext context;
  const StepScalars scalars = scalars_of(1, 0);
  Owned x(context, DType::kF32, {4});
  for (float p : {-0.1f, 1.0f, NAN}) {
    EXPECT_THROW(dropout(x, x, {p, 0, 0}, &scalars, context.stream), Error) << p;
  }
}

}  // namespace
}  // namespace athanor::testing

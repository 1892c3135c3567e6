// Emulated mma, ldmatrix and cp.async: a product against float64, and bugs that must show.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "core/dtype.h"
#include "core/philox.h"
#include "tests/fake_cuda/runtime/control.h"
#include "tests/fake_cuda/runtime/sanitizer.h"
#include "tests/fake_cuda/tensor_core.h"

namespace fake_cuda::testing {
namespace {

std::vector<uint16_t> random_bits(size_t count, uint64_t seed) {
  const athanor::PhiloxKey key{seed, 5};
  std::vector<uint16_t> bits;
  for (size_t i = 0; i < count; ++i) {
    bits.push_back(athanor::to_bfloat16(key.uniform(i) * 2.0f - 1.0f).bits);
  }
  return bits;
}

// The largest distance from the float64 product; NaN when any element is.
double product_error(TileBug bug, ThreadOrder order) {
  Settings settings;
  settings.order = order;
  configure(settings);
  const std::vector<uint16_t> a = random_bits(kTileRows * kTileDepth, 1);
  const std::vector<uint16_t> b = random_bits(kTileDepth * kTileColumns, 2);
  const std::vector<float> c = tile_product(a, b, bug);
  const auto value = [](uint16_t bits) {
    return static_cast<double>(athanor::to_float(athanor::bfloat16{bits}));
  };
  double largest = 0;
  for (size_t m = 0; m < kTileRows; ++m) {
    for (size_t n = 0; n < kTileColumns; ++n) {
      double want = 0;
      for (size_t k = 0; k < kTileDepth; ++k) {
        want += value(a[m * kTileDepth + k]) * value(b[k * kTileColumns + n]);
      }
      const double error = std::abs(static_cast<double>(c[m * kTileColumns + n]) - want);
      if (!(error <= largest)) largest = error;  // a NaN stays
      if (std::isnan(largest)) return largest;
    }
  }
  return largest;
}

TEST(TensorCore, ProductAgreesWithFloat64) {
  for (ThreadOrder order : {ThreadOrder::kFifo, ThreadOrder::kUniform, ThreadOrder::kWarpGreedy}) {
    EXPECT_LT(product_error(TileBug::kNone, order), 1e-5);  // 64 sums of products below 1, in f32
  }
}

// Without its wait a copy has not landed, in any order.
TEST(TensorCore, AMissingWaitForACopyShows) {
  if (sanitizer::tracks_races()) GTEST_SKIP() << "ThreadSanitizer ends the process at the race";
  for (ThreadOrder order : {ThreadOrder::kFifo, ThreadOrder::kUniform, ThreadOrder::kWarpGreedy}) {
    EXPECT_TRUE(std::isnan(product_error(TileBug::kMissingWait, order)));
  }
}

TEST(TensorCore, GreedyWarpsOverwriteABufferWithoutItsBarrier) {
  if (sanitizer::tracks_races()) {
    EXPECT_EXIT(_exit(product_error(TileBug::kMissingBarrier, ThreadOrder::kFifo) < 1e-5 ? 0 : 1),
                ::testing::ExitedWithCode(66), "data race");
    return;
  }
  EXPECT_FALSE(product_error(TileBug::kMissingBarrier, ThreadOrder::kWarpGreedy) < 1e-5);
}

}  // namespace
}  // namespace fake_cuda::testing

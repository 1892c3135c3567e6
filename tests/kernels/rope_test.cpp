// The table against its formula, rotations against float64, and the inverse as the transpose.
#include "kernels/rope/rope.h"

#include "tests/support/same_bits.h"

namespace athanor::testing {
namespace {

struct Case {
  Case(CpuContext& context, DType dtype, int64_t tokens, int64_t head_count, int64_t dim)
      : heads(head_count),
        head_dim(dim),
        x(context, dtype, {tokens, head_count * dim}),
        table(context, DType::kF32, {kPositions, dim}) {
    x.fill_random(1, 2.0f);
    rope_table(table, {10000.0}, context.stream);
    // Packed sequences: positions start again.
    for (int64_t n = 0; n < tokens; ++n) positions.push_back(static_cast<int32_t>(n * 7 % 50));
  }
  void rotate(CpuContext& context, bool inverse) {
    rope(x, int_tensor(context, positions), table, head_dim, inverse, context.stream);
  }
  std::vector<double> rotated(bool inverse) const {
    const std::vector<double> in = x.values();
    std::vector<double> out = in;
    const int64_t half = head_dim / 2;
    for (size_t row = 0; row < positions.size() * static_cast<size_t>(heads); ++row) {
      const int64_t position = positions[row / static_cast<size_t>(heads)];
      for (int64_t j = 0; j < half; ++j) {
        const double c = table.get(position * head_dim + j);
        const double s = table.get(position * head_dim + half + j) * (inverse ? -1 : 1);
        const size_t low = row * static_cast<size_t>(head_dim) + static_cast<size_t>(j);
        const size_t high = low + static_cast<size_t>(half);
        out[low] = in[low] * c - in[high] * s;
        out[high] = in[high] * c + in[low] * s;
      }
    }
    return out;
  }
  static constexpr int64_t kPositions = 64;
  int64_t heads, head_dim;
  Owned x, table;
  std::vector<int32_t> positions;
};

TEST(RopeTable, IsCosineAndSineOfTheFloat32Angle) {
  CpuContext context;
  const int64_t head_dim = 6;
  const int64_t positions = 5000;
  Owned table(context, DType::kF32, {positions, head_dim});
  rope_table(table, {500000.0}, context.stream);
  for (int64_t p = 0; p < positions; p += 37) {
    for (int64_t j = 0; j < 3; ++j) {
      const double frequency = std::pow(500000.0, -2.0 * static_cast<double>(j) / 6.0);
      const double angle = static_cast<double>(p) * frequency;
      // Exponent, frequency and angle are each rounded to float32.
      const double bound = 1e-7 + angle * 12 * 0x1p-24;
      EXPECT_NEAR(table.get(p * head_dim + j), std::cos(angle), bound);
      EXPECT_NEAR(table.get(p * head_dim + 3 + j), std::sin(angle), bound);
    }
  }
}

// Values of transformers' LlamaRotaryEmbedding arithmetic in torch 2.13, float32, CPU: theta 5e5,
// head_dim 64, position 4095.
TEST(RopeTable, AgreesWithTransformersFarOut) {
  CpuContext context;
  Owned table(context, DType::kF32, {4096, 64});
  rope_table(table, {500000.0}, context.stream);
  const int64_t row = 4095 * 64;
  EXPECT_NEAR(table.get(row + 0), -0.065975994f, 1e-7f);
  EXPECT_NEAR(table.get(row + 32 + 0), -0.997821212f, 1e-7f);
  EXPECT_NEAR(table.get(row + 1), -0.999538541f, 1e-7f);
  EXPECT_NEAR(table.get(row + 32 + 1), 0.030375058f, 1e-7f);
  EXPECT_NEAR(table.get(row + 7), 0.914806247f, 1e-7f);
  EXPECT_NEAR(table.get(row + 32 + 7), -0.403892934f, 1e-7f);
  EXPECT_NEAR(table.get(row + 16), 0.881398678f, 1e-7f);
  EXPECT_NEAR(table.get(row + 32 + 16), -0.472373158f, 1e-7f);
  EXPECT_NEAR(table.get(row + 31), 0.999923825f, 1e-7f);
  EXPECT_NEAR(table.get(row + 32 + 31), 0.012341436f, 1e-7f);
}

class Rope : public ::testing::TestWithParam<DType> {};

TEST_P(Rope, RotatesLikeFloat64) {
  for (const auto& [tokens, heads, head_dim] : std::vector<std::array<int64_t, 3>>{
           {0, 2, 8}, {1, 1, 2}, {5, 3, 6}, {33, 4, 64}, {7, 5, 34}}) {
    for (bool inverse : {false, true}) {
      CpuContext context;
      Case k(context, GetParam(), tokens, heads, head_dim);
      const std::vector<double> want = k.rotated(inverse);
      k.rotate(context, inverse);
      expect_close(k.x, want, tolerance(GetParam()), "x");
    }
  }
}

TEST_P(Rope, InverseUndoes) {
  CpuContext context;
  Case k(context, GetParam(), 19, 2, 32);
  const std::vector<double> before = k.x.values();
  k.rotate(context, false);
  k.rotate(context, true);
  expect_close(k.x, before, tolerance(GetParam()), "x");
}

TEST_P(Rope, SameBitsOnAnyThreads) {
  expect_same_bits_on_any_threads([](CpuContext& context) {
    Case k(context, GetParam(), 203, 6, 48);
    k.rotate(context, false);
    std::vector<std::byte> bytes = k.x.bytes();
    append(bytes, k.table.bytes());
    return bytes;
  });
}

INSTANTIATE_TEST_SUITE_P(DTypes, Rope, ::testing::Values(DType::kF32, DType::kBF16),
                         dtype_test_name);

// The rotation is linear: its gradient is its transpose, sum(rope(x) * dy) = sum(x * inverse(dy)).
TEST(RopeGradient, InverseIsTheTranspose) {
  CpuContext context;
  Case forward(context, DType::kF32, 9, 2, 10);
  Case backward(context, DType::kF32, 9, 2, 10);
  backward.x.fill_random(8);
  const std::vector<double> x = forward.x.values();
  const std::vector<double> dy = backward.x.values();
  forward.rotate(context, false);
  backward.rotate(context, true);
  double left = 0;
  double right = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    left += forward.x.get(static_cast<int64_t>(i)) * dy[i];
    right += x[i] * backward.x.get(static_cast<int64_t>(i));
  }
  EXPECT_NEAR(left, right, 1e-4);
}

TEST(RopeChecks, RefusePositionsOutsideTheTable) {
  CpuContext context;
  ATHANOR_SKIP_UNLESS_CPU(context);
  for (int32_t position : {-1, 64}) {
    Case k(context, DType::kF32, 3, 1, 4);
    k.positions[2] = position;
    EXPECT_THROW(k.rotate(context, false), Error) << position;
  }
}

}  // namespace
}  // namespace athanor::testing

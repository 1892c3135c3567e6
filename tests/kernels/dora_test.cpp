// Against the formula with W + s B A made in float64, and bit for bit where bits are promised.
#include "kernels/dora/dora.h"

#include <cmath>

#include "tests/support/same_bits.h"

namespace athanor::testing {
namespace {

// Full, narrow and partly filled panels; even and odd widths.
constexpr std::pair<int64_t, int64_t> kSizes[] = {{1, 1}, {48, 8}, {50, 7}, {113, 64}, {97, 33}};
constexpr float kScaling = 1.5f;

LinearWeight plain_weight(const Owned& weight) {
  return {weight, {}, weight.tensor().dtype(), weight.tensor().dim(0), weight.tensor().dim(1)};
}

double square(double value) { return value * value; }

class Dora : public ::testing::TestWithParam<DType> {};

TEST_P(Dora, RowSquaresAreTheSameBitsFromPlainAndPreparedWeights) {
  for (const auto& [out, in] : kSizes) {
    CpuContext context;
    Owned weight(context, GetParam(), {out, in});
    Owned prepared(context, DType::kU8, {prepared_weight_bytes(GetParam(), out, in)});
    Owned from_plain(context, DType::kF32, {out});
    Owned from_prepared(context, DType::kF32, {out});
    weight.fill_random(1);
    prepare_weight(prepared, weight, context.stream);
    weight_row_squares(from_plain, plain_weight(weight), context.stream);
    weight_row_squares(from_prepared, {{}, prepared, GetParam(), out, in}, context.stream);
    EXPECT_TRUE(from_plain.bytes() == from_prepared.bytes());
    for (int64_t o = 0; o < out; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < in; ++i) sum += square(weight.get(o * in + i));
      EXPECT_EQ(from_plain.get(o), static_cast<float>(sum));
    }
  }
}

TEST_P(Dora, NormIsThatOfTheWholeMatrix) {
  const int64_t out = 50;
  const int64_t in = 19;
  const int64_t rank = 5;
  CpuContext context;
  Owned weight(context, GetParam(), {out, in});
  Owned a(context, GetParam(), {rank, in});
  Owned b(context, GetParam(), {out, rank});
  Owned magnitude(context, GetParam(), {out});
  Owned squares(context, DType::kF32, {out});
  Owned product(context, DType::kF32, {rank, out});
  Owned gram(context, DType::kF32, {rank, rank});
  Owned scale(context, DType::kF32, {out});
  Owned norm(context, DType::kF32, {out});
  weight.fill_random(1);
  a.fill_random(2);
  b.fill_random(3);
  magnitude.fill_random(4);
  weight_row_squares(squares, plain_weight(weight), context.stream);
  linear_forward(product, a, plain_weight(weight), false, context.stream);
  linear_forward(gram, a, plain_weight(a), false, context.stream);
  dora_scales(scale, norm, squares, product, gram, b, magnitude, kScaling, context.stream);
  for (int64_t o = 0; o < out; ++o) {
    double sum = 0;
    for (int64_t i = 0; i < in; ++i) {
      double whole = double{weight.get(o * in + i)};
      for (int64_t r = 0; r < rank; ++r) {
        whole += double{kScaling} * double{b.get(o * rank + r)} * double{a.get(r * in + i)};
      }
      sum += whole * whole;
    }
    EXPECT_NEAR(norm.get(o) / std::sqrt(sum), 1.0, 1e-5) << o;  // sums of f32 products
    EXPECT_NEAR(scale.get(o), magnitude.get(o) / norm.get(o), 1e-6 * std::abs(scale.get(o)));
  }
}

TEST_P(Dora, ScalesColumnsAndSumsMagnitudesGradients) {
  for (const auto& [out, rows] : kSizes) {
    CpuContext context;
    Owned dy(context, GetParam(), {rows, out});
    Owned z(context, GetParam(), {rows, out});
    Owned y(context, GetParam(), {rows, out});
    Owned vector(context, DType::kF32, {out});
    Owned gradient(context, DType::kF32, {out});
    dy.fill_random(1);
    z.fill_random(2);
    vector.fill_random(3);
    gradient.fill_random(4);
    std::vector<double> want;
    for (int64_t o = 0; o < out; ++o) {
      double sum = 0;
      for (int64_t n = 0; n < rows; ++n)
        sum += double{dy.get(n * out + o)} * double{z.get(n * out + o)};
      want.push_back(gradient.get(o) + sum / vector.get(o));
    }
    dora_magnitude_backward(gradient, dy, z, vector, context.stream);
    scale_outputs(y, z, vector, context.stream);
    scale_outputs(z, z, vector, context.stream);
    EXPECT_TRUE(y.bytes() == z.bytes());
    for (int64_t o = 0; o < out; ++o) {
      const double size = 1 + 8 / std::abs(static_cast<double>(vector.get(o)));
      EXPECT_NEAR(gradient.get(o), want[static_cast<size_t>(o)], 1e-5 * size) << o;
    }
  }
}

TEST_P(Dora, SameBitsOnAnyThreads) {
  expect_same_bits_on_any_threads([](CpuContext& context) {
    Owned weight(context, GetParam(), {113, 64});
    Owned squares(context, DType::kF32, {113});
    Owned dy(context, GetParam(), {70, 113});
    Owned gradient(context, DType::kF32, {113});
    weight.fill_random(1);
    dy.fill_random(2);
    gradient.fill_random(3);
    weight_row_squares(squares, plain_weight(weight), context.stream);
    dora_magnitude_backward(gradient, dy, dy, squares, context.stream);
    scale_outputs(dy, dy, gradient, context.stream);
    return dy.bytes();
  });
}

TEST_P(Dora, RefusesOtherShapes) {
  CpuContext context;
  Owned x(context, GetParam(), {3, 4});
  Owned scale(context, DType::kF32, {3});
  EXPECT_THROW(scale_outputs(x, x, scale, context.stream), Error);
}

INSTANTIATE_TEST_SUITE_P(DTypes, Dora, ::testing::Values(DType::kF32, DType::kBF16),
                         dtype_test_name);

}  // namespace
}  // namespace athanor::testing

// Against the float64 formula, finite differences of it, and the contract's order of sums.
#include "kernels/rms_norm/rms_norm.h"

#include "core/pairwise.h"
#include "tests/support/same_bits.h"

namespace athanor::testing {
namespace {

constexpr double kEps = 1e-5;
const std::vector<std::pair<int64_t, int64_t>> kShapes = {
    {0, 8}, {1, 1}, {3, 7}, {5, 33}, {64, 64}, {65, 576}, {130, 1030}, {2, 2053}};

struct Reference {
  std::vector<double> y, rstd, dx, dweight;
};

Reference reference(const std::vector<double>& x, const std::vector<double>& weight,
                    const std::vector<double>& dy, int64_t rows, int64_t columns) {
  const auto at = [&](int64_t n, int64_t c) { return static_cast<size_t>(n * columns + c); };
  Reference r{std::vector<double>(x.size()),
              {},
              std::vector<double>(x.size()),
              std::vector<double>(weight.size())};
  for (int64_t n = 0; n < rows; ++n) {
    double squares = 0;
    double along = 0;
    for (int64_t c = 0; c < columns; ++c) {
      squares += x[at(n, c)] * x[at(n, c)];
      along += dy[at(n, c)] * weight[static_cast<size_t>(c)] * x[at(n, c)];
    }
    const double rstd = 1.0 / std::sqrt(squares / static_cast<double>(columns) + kEps);
    r.rstd.push_back(rstd);
    for (int64_t c = 0; c < columns; ++c) {
      const size_t i = at(n, c);
      const double w = weight[static_cast<size_t>(c)];
      r.y[i] = x[i] * rstd * w;
      r.dx[i] = rstd * (dy[i] * w - x[i] * rstd * rstd * along / static_cast<double>(columns));
      r.dweight[static_cast<size_t>(c)] += dy[i] * x[i] * rstd;
    }
  }
  return r;
}

// Inputs and outputs of one call of each direction.
struct Case {
  Case(CpuContext& context, DType dtype, int64_t n, int64_t c)
      : rows(n),
        columns(c),
        x(context, dtype, {n, c}),
        weight(context, dtype, {c}),
        dy(context, dtype, {n, c}),
        y(context, dtype, {n, c}),
        dx(context, dtype, {n, c}),
        rstd(context, DType::kF32, {n}),
        dweight(context, DType::kF32, {c}),
        workspace(context, DType::kF32, {rms_norm_backward_workspace(n, c)}) {
    x.fill_random(1, 2.0f);
    weight.fill_random(2);
    dy.fill_random(3);
    dx.fill_random(4);
    dweight.fill_random(5);
  }
  void forward(CpuContext& context) {
    rms_norm_forward(y, rstd, x, weight, kEps, offset, context.stream);
  }
  void backward(CpuContext& context) {
    rms_norm_backward(dx, dweight, dy, x, rstd, weight, offset, workspace, context.stream);
  }
  int64_t rows, columns;
  float offset = 0;
  Owned x, weight, dy, y, dx, rstd, dweight, workspace;
};

// Weights around zero: the same as weights around one.
TEST(RmsNormOffset, IsAddedToTheWeight) {
  CpuContext context;
  Case k(context, DType::kF32, 65, 33);
  k.offset = 1;
  k.forward(context);
  for (int64_t i = 0; i < 65 * 33; ++i) k.dx.set(i, 0.0f);
  for (int64_t c = 0; c < 33; ++c) k.dweight.set(c, 0.0f);
  k.backward(context);
  std::vector<double> weight = k.weight.values();
  for (double& value : weight) value += 1;
  const Reference want = reference(k.x.values(), weight, k.dy.values(), 65, 33);
  expect_close(k.y, want.y, tolerance(DType::kF32), "y");
  expect_close(k.dx, want.dx, tolerance(DType::kF32), "dx");
  expect_close(k.dweight, want.dweight, 4 * tolerance(DType::kF32), "dweight");
}

class RmsNorm : public ::testing::TestWithParam<DType> {};

TEST_P(RmsNorm, ForwardMatchesFloat64) {
  for (const auto& [rows, columns] : kShapes) {
    CpuContext context;
    Case k(context, GetParam(), rows, columns);
    k.forward(context);
    const Reference want = reference(k.x.values(), k.weight.values(), k.dy.values(), rows, columns);
    expect_close(k.y, want.y, tolerance(GetParam()), "y");
    expect_close(k.rstd, want.rstd, 1e-6, "rstd");
  }
}

TEST_P(RmsNorm, BackwardAddsTheFloat64Gradient) {
  for (const auto& [rows, columns] : kShapes) {
    CpuContext context;
    Case k(context, GetParam(), rows, columns);
    k.forward(context);
    Reference want = reference(k.x.values(), k.weight.values(), k.dy.values(), rows, columns);
    const std::vector<double> dx = k.dx.values();
    const std::vector<double> dweight = k.dweight.values();
    for (size_t i = 0; i < dx.size(); ++i) want.dx[i] += dx[i];
    for (size_t i = 0; i < dweight.size(); ++i) want.dweight[i] += dweight[i];
    k.backward(context);
    expect_close(k.dx, want.dx, tolerance(GetParam()), "dx");
    expect_close(k.dweight, want.dweight, tolerance(DType::kF32), "dweight");
  }
}

TEST_P(RmsNorm, FrozenWeightGivesTheSameInputGradient) {
  CpuContext context;
  Case trained(context, GetParam(), 130, 72);
  Case frozen(context, GetParam(), 130, 72);
  trained.forward(context);
  frozen.forward(context);
  trained.backward(context);
  rms_norm_backward(frozen.dx, Tensor(), frozen.dy, frozen.x, frozen.rstd, frozen.weight, 0.0f,
                    Tensor(), context.stream);
  EXPECT_TRUE(trained.dx.bytes() == frozen.dx.bytes());
}

TEST_P(RmsNorm, SameBitsOnAnyThreads) {
  expect_same_bits_on_any_threads([](CpuContext& context) {
    Case k(context, GetParam(), 333, 515);
    k.forward(context);
    k.backward(context);
    std::vector<std::byte> bytes = k.y.bytes();
    for (const Owned* out : {&k.rstd, &k.dx, &k.dweight}) append(bytes, out->bytes());
    return bytes;
  });
}

INSTANTIATE_TEST_SUITE_P(DTypes, RmsNorm, ::testing::Values(DType::kF32, DType::kBF16),
                         dtype_test_name);

TEST(RmsNormGradient, MatchesFiniteDifferences) {
  const int64_t rows = 3;
  const int64_t columns = 11;
  CpuContext context;
  Case k(context, DType::kF32, rows, columns);
  for (int64_t i = 0; i < rows * columns; ++i) k.dx.set(i, 0);
  for (int64_t i = 0; i < columns; ++i) k.dweight.set(i, 0);
  k.forward(context);
  k.backward(context);
  std::vector<double> x = k.x.values();
  std::vector<double> weight = k.weight.values();
  const std::vector<double> dy = k.dy.values();
  const auto loss = [&] {
    const std::vector<double> y = reference(x, weight, dy, rows, columns).y;
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += dy[i] * y[i];
    return sum;
  };
  const auto slope = [&](double& value) {
    const double kept = value;
    const double step = 1e-5;
    value = kept + step;
    const double above = loss();
    value = kept - step;
    const double below = loss();
    value = kept;
    return (above - below) / (2 * step);
  };
  std::vector<double> dx;
  std::vector<double> dweight;
  for (double& value : x) dx.push_back(slope(value));
  for (double& value : weight) dweight.push_back(slope(value));
  expect_close(k.dx, dx, tolerance(DType::kF32), "dx");
  expect_close(k.dweight, dweight, tolerance(DType::kF32), "dweight");
}

// dweight is what three nested loops over chunks, rows and columns give, in that order.
TEST(RmsNormGradient, WeightGradientFollowsTheContract) {
  CpuContext context;
  Case k(context, DType::kF32, 7 * 64 - 9, 37);
  k.forward(context);
  const std::vector<double> before = k.dweight.values();
  k.backward(context);
  for (int64_t c = 0; c < k.columns; ++c) {
    const float sum = tree_reduce(
        0, 7,
        [&](int64_t chunk) {
          float partial = 0;
          for (int64_t n = chunk * 64; n < std::min(chunk * 64 + 64, k.rows); ++n) {
            const int64_t i = n * k.columns + c;
            partial = std::fma(k.dy.get(i), k.x.get(i) * k.rstd.get(n), partial);
          }
          return partial;
        },
        [](float a, float b) { return a + b; });
    EXPECT_EQ(k.dweight.get(c), static_cast<float>(before[static_cast<size_t>(c)]) + sum) << c;
  }
}

TEST(RmsNormChecks, NameTheTensorAndBothShapes) {
  CpuContext context;
  Case k(context, DType::kF32, 4, 8);
  const Tensor narrow_weight(k.weight.tensor().raw(), DType::kF32, Shape{7});
  try {
    rms_norm_forward(k.y, k.rstd, k.x, narrow_weight, kEps, 0.0f, context.stream);
    FAIL() << "a weight of another length was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "rms_norm_forward: weight has shape [7], expected [8]");
  }
}

}  // namespace
}  // namespace athanor::testing

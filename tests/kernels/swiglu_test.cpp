// Against the float64 formula and finite differences of it.
#include "kernels/swiglu/swiglu.h"

#include "tests/support/same_bits.h"

namespace athanor::testing {
namespace {

double silu(double g) { return g / (1.0 + std::exp(-g)); }

struct Case {
  Case(CpuContext& context, DType dtype, int64_t rows, int64_t columns)
      : gate(context, dtype, {rows, columns}),
        up(context, dtype, {rows, columns}),
        dy(context, dtype, {rows, columns}),
        y(context, dtype, {rows, columns}),
        dgate(context, dtype, {rows, columns}),
        dup(context, dtype, {rows, columns}) {
    gate.fill_random(1, 8.0f);
    up.fill_random(2);
    dy.fill_random(3);
    const float special[] = {0.0f, -0.0f, 100.0f, -100.0f, 30.0f, -30.0f, 1e-6f};
    for (int64_t i = 0; i < 7 && i < rows * columns; ++i) gate.set(i, special[i]);
  }
  Owned gate, up, dy, y, dgate, dup;
};

class SwiGlu : public ::testing::TestWithParam<DType> {};

TEST_P(SwiGlu, MatchesFloat64BothWays) {
  for (const auto& [rows, columns] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 16}, {1, 1}, {3, 7}, {17, 513}, {5, 4096}}) {
    CpuContext context;
    Case k(context, GetParam(), rows, columns);
    swiglu_forward(k.y, k.gate, k.up, GateFunction::kSilu, context.stream);
    swiglu_backward(k.dgate, k.dup, k.dy, k.gate, k.up, GateFunction::kSilu, context.stream);
    std::vector<double> y, dgate, dup;
    for (int64_t i = 0; i < rows * columns; ++i) {
      const double g = k.gate.get(i);
      const double s = 1.0 / (1.0 + std::exp(-g));
      y.push_back(silu(g) * k.up.get(i));
      dgate.push_back(k.dy.get(i) * static_cast<double>(k.up.get(i)) * s * (1 + g * (1 - s)));
      dup.push_back(k.dy.get(i) * silu(g));
    }
    expect_close(k.y, y, tolerance(GetParam()), "y");
    expect_close(k.dgate, dgate, tolerance(GetParam()), "dgate");
    expect_close(k.dup, dup, tolerance(GetParam()), "dup");
  }
}

TEST_P(SwiGlu, BackwardInPlaceGivesTheSameBits) {
  CpuContext context;
  Case k(context, GetParam(), 9, 777);
  swiglu_backward(k.dgate, k.dup, k.dy, k.gate, k.up, GateFunction::kSilu, context.stream);
  swiglu_backward(k.gate, k.up, k.dy, k.gate, k.up, GateFunction::kSilu, context.stream);
  EXPECT_TRUE(k.gate.bytes() == k.dgate.bytes());
  EXPECT_TRUE(k.up.bytes() == k.dup.bytes());
}

TEST_P(SwiGlu, SameBitsOnAnyThreads) {
  expect_same_bits_on_any_threads([](CpuContext& context) {
    Case k(context, GetParam(), 101, 1001);
    swiglu_forward(k.y, k.gate, k.up, GateFunction::kSilu, context.stream);
    swiglu_backward(k.dgate, k.dup, k.dy, k.gate, k.up, GateFunction::kSilu, context.stream);
    std::vector<std::byte> bytes = k.y.bytes();
    append(bytes, k.dgate.bytes());
    append(bytes, k.dup.bytes());
    return bytes;
  });
}

INSTANTIATE_TEST_SUITE_P(DTypes, SwiGlu, ::testing::Values(DType::kF32, DType::kBF16),
                         dtype_test_name);

double gelu_tanh(double g) {
  return 0.5 * g * (1 + std::tanh(std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g)));
}

TEST_P(SwiGlu, GeluMatchesFloat64AndFiniteDifferences) {
  CpuContext context;
  Case k(context, GetParam(), 17, 513);
  swiglu_forward(k.y, k.gate, k.up, GateFunction::kGeluTanh, context.stream);
  swiglu_backward(k.dgate, k.dup, k.dy, k.gate, k.up, GateFunction::kGeluTanh, context.stream);
  std::vector<double> y, dgate, dup;
  for (int64_t i = 0; i < 17 * 513; ++i) {
    const double g = k.gate.get(i);
    const double slope = (gelu_tanh(g + 1e-5) - gelu_tanh(g - 1e-5)) / 2e-5;
    y.push_back(gelu_tanh(g) * k.up.get(i));
    dgate.push_back(k.dy.get(i) * static_cast<double>(k.up.get(i)) * slope);
    dup.push_back(k.dy.get(i) * gelu_tanh(g));
  }
  expect_close(k.y, y, tolerance(GetParam()), "y");
  expect_close(k.dgate, dgate, tolerance(GetParam()), "dgate");
  expect_close(k.dup, dup, tolerance(GetParam()), "dup");
}

TEST(SwiGluGradient, MatchesFiniteDifferences) {
  CpuContext context;
  Case k(context, DType::kF32, 4, 33);
  swiglu_backward(k.dgate, k.dup, k.dy, k.gate, k.up, GateFunction::kSilu, context.stream);
  const double step = 1e-5;
  std::vector<double> dgate, dup;
  for (int64_t i = 0; i < 4 * 33; ++i) {
    const double g = k.gate.get(i);
    const double u = k.up.get(i);
    dgate.push_back(k.dy.get(i) * (silu(g + step) - silu(g - step)) * u / (2 * step));
    dup.push_back(k.dy.get(i) * silu(g) * ((u + step) - (u - step)) / (2 * step));
  }
  expect_close(k.dgate, dgate, tolerance(DType::kF32), "dgate");
  expect_close(k.dup, dup, tolerance(DType::kF32), "dup");
}

}  // namespace
}  // namespace athanor::testing

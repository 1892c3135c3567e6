// Cross-entropy against float64, its gradient against finite differences, and what must show:
// non-finite logits and targets that are none.
#include "kernels/cross_entropy/cross_entropy.h"

#include <bit>
#include <limits>
#include <string>
#include <tuple>

#include "core/pairwise.h"
#include "kernels/cpu/vector_math.h"
#include "tests/support/kernel_support.h"

namespace athanor::testing {
namespace {

constexpr double kLossScale = 1.0 / 37.0;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

StepScalars scalars_with(double loss_scale) {
  StepScalars scalars;
  scalars.loss_scale = loss_scale;
  return scalars;
}

struct Operation {
  Operation(CpuContext& context, int64_t rows, int64_t vocab, DType dtype, float amplitude = 4.0f)
      : logits(context, DType::kF32, Shape{rows, vocab}),
        dlogits(context, dtype, Shape{rows, vocab}),
        loss(context, DType::kF32, Shape{rows}),
        targets(context, DType::kI32, Shape{rows}) {
    logits.fill_random(5, amplitude);
    for (int64_t n = 0; n < rows; ++n) set_target(n, (n * 7919 + vocab - 1) % vocab);
  }
  void set_target(int64_t n, int64_t target) {
    targets.host().data<int32_t>()[n] = narrow<int32_t>(target);
  }
  int64_t target(int64_t n) { return targets.host().data<int32_t>()[n]; }
  void run(CpuContext& context) {
    cross_entropy(loss, dlogits, logits, targets, 0.0f, context.put(scalars), context.stream);
  }

  StepScalars scalars = scalars_with(kLossScale);
  Owned logits, dlogits, loss, targets;
};

// Loss of one row and, unless null, its gradient.
double reference_row(const double* logits, int64_t vocab, int64_t target, double* gradient) {
  double max = logits[0];
  for (int64_t v = 0; v < vocab; ++v) max = std::max(max, logits[v]);
  double sum = 0;
  for (int64_t v = 0; v < vocab; ++v) sum += std::exp(logits[v] - max);
  for (int64_t v = 0; gradient != nullptr && v < vocab; ++v) {
    gradient[v] = (std::exp(logits[v] - max) / sum - (v == target ? 1.0 : 0.0)) * kLossScale;
  }
  return std::log(sum) + max - logits[target];
}

class CrossEntropyValues
    : public ::testing::TestWithParam<std::tuple<std::pair<int64_t, int64_t>, DType>> {};

// Gradients are small numbers, so their tolerance is relative to the loss scale.
TEST_P(CrossEntropyValues, MatchFloat64) {
  const auto [size, dtype] = GetParam();
  const auto [rows, vocab] = size;
  CpuContext context(2);
  Operation op(context, rows, vocab, dtype);
  op.run(context);
  const std::vector<double> logits = op.logits.values();
  std::vector<double> loss;
  std::vector<double> gradient(logits.size());
  for (int64_t n = 0; n < rows; ++n) {
    loss.push_back(
        reference_row(logits.data() + n * vocab, vocab, op.target(n), gradient.data() + n * vocab));
  }
  expect_close(op.loss, loss, tolerance(DType::kF32), "loss");
  expect_close(op.dlogits, gradient, tolerance(dtype) * kLossScale, "dlogits");
}

INSTANTIATE_TEST_SUITE_P(
    , CrossEntropyValues,
    ::testing::Combine(::testing::Values(std::pair{1, 1}, std::pair{3, 2}, std::pair{70, 31},
                                         std::pair{5, 1024}, std::pair{9, 2049},
                                         std::pair{3, 49152}, std::pair{0, 100}),
                       ::testing::Values(DType::kF32, DType::kBF16)),
    [](const auto& info) {
      const auto size = std::get<0>(info.param);
      return std::to_string(size.first) + "x" + std::to_string(size.second) + "_" +
             dtype_name(std::get<1>(info.param));
    });

// Steps of 1e-4 of a float64 loss: truncation 1e-8.
TEST(CrossEntropy, GradientMatchesFiniteDifferences) {
  CpuContext context(1);
  Operation op(context, 3, 11, DType::kF32);
  op.run(context);
  std::vector<double> x = op.logits.values();
  std::vector<double> slopes;
  for (size_t i = 0; i < x.size(); ++i) {
    const auto n = static_cast<int64_t>(i) / 11;
    const auto loss = [&](double step) {
      std::vector<double> row(x.begin() + n * 11, x.begin() + (n + 1) * 11);
      row[i % 11] += step;
      return reference_row(row.data(), 11, op.target(n), nullptr);
    };
    slopes.push_back((loss(1e-4) - loss(-1e-4)) / 2e-4 * kLossScale);
  }
  expect_close(op.dlogits, slopes, tolerance(DType::kF32) * kLossScale, "dlogits");
}

// The gradient passes the cap: loss(cap tanh(x / cap)) differentiated with respect to x.
TEST(CrossEntropy, SoftCapMatchesFiniteDifferences) {
  constexpr float kCap = 2.5f;
  CpuContext context(1);
  Operation op(context, 3, 37, DType::kF32);
  const std::vector<double> x = op.logits.values();
  soft_cap_logits(op.logits, kCap, context.stream);
  cross_entropy(op.loss, op.dlogits, op.logits, op.targets, kCap, context.put(op.scalars),
                context.stream);
  std::vector<double> slopes;
  std::vector<double> losses;
  for (size_t i = 0; i < x.size(); ++i) {
    const auto n = static_cast<int64_t>(i) / 37;
    const auto loss = [&](double step) {
      std::vector<double> row(x.begin() + n * 37, x.begin() + (n + 1) * 37);
      row[i % 37] += step;
      for (double& value : row) value = kCap * std::tanh(value / kCap);
      return reference_row(row.data(), 37, op.target(n), nullptr);
    };
    slopes.push_back((loss(1e-4) - loss(-1e-4)) / 2e-4 * kLossScale);
    if (i % 37 == 0) losses.push_back(loss(0));
  }
  expect_close(op.loss, losses, tolerance(DType::kF32), "loss");
  expect_close(op.dlogits, slopes, tolerance(DType::kF32) * kLossScale, "dlogits");
}

TEST(CrossEntropy, GradientMayReplaceTheLogits) {
  CpuContext context(2);
  Operation op(context, 4, 1500, DType::kF32);
  op.run(context);
  const std::vector<std::byte> loss = op.loss.bytes();
  cross_entropy(op.loss, op.logits, op.logits, op.targets, 0.0f, context.put(op.scalars),
                context.stream);
  EXPECT_EQ(op.loss.bytes(), loss);
  EXPECT_EQ(op.logits.bytes(), op.dlogits.bytes());
}

TEST(CrossEntropy, LossAloneHasTheSameBits) {
  CpuContext context(2);
  Operation op(context, 4, 1500, DType::kBF16);
  op.run(context);
  const std::vector<std::byte> loss = op.loss.bytes();
  cross_entropy(op.loss, Tensor(), op.logits, op.targets, 0.0f, nullptr, context.stream);
  EXPECT_EQ(op.loss.bytes(), loss);
}

TEST(CrossEntropy, BitsDependOnNeitherThreadsNorOtherRows) {
  std::vector<std::byte> loss;
  std::vector<std::byte> gradient;
  for (int threads : {1, 2, 4, 8}) {
    CpuContext context(threads);
    Operation op(context, 67, 1100, DType::kBF16);
    op.run(context);
    if (threads == 1) {
      loss = op.loss.bytes();
      gradient = op.dlogits.bytes();
    }
    EXPECT_EQ(op.loss.bytes(), loss);
    EXPECT_EQ(op.dlogits.bytes(), gradient);
    for (int64_t n : {0, 1, 66}) {
      Owned row_loss(context, DType::kF32, Shape{1});
      Owned row_gradient(context, DType::kBF16, Shape{1, 1100});
      cross_entropy(row_loss, row_gradient, op.logits.tensor().rows(n, 1),
                    op.targets.tensor().rows(n, 1), 0.0f, context.put(op.scalars), context.stream);
      EXPECT_EQ(row_loss.get(0), op.loss.get(n));
      EXPECT_EQ(std::memcmp(row_gradient.host().raw(), op.dlogits.host().rows(n, 1).raw(),
                            static_cast<size_t>(row_gradient.host().bytes())),
                0);
    }
  }
}

// The order of the sum is part of the contract; here it is written out for five blocks.
TEST(CrossEntropy, SumsInBlockedOrder) {
  CpuContext context(1);
  const int64_t vocab = 4500;
  Operation op(context, 1, vocab, DType::kF32);
  op.run(context);
  float max = op.logits.get(0);
  for (int64_t v = 0; v < vocab; ++v) max = std::max(max, op.logits.get(v));
  double blocks[5];
  for (int64_t block = 0; block < 5; ++block) {
    float lanes[32] = {};
    for (int64_t i = 0; i < 1024 && block * 1024 + i < vocab; ++i) {
      lanes[i % 32] += exp_f32(op.logits.get(block * 1024 + i) - max);
    }
    for (int width : {16, 8, 4, 2, 1}) {
      for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
    }
    blocks[block] = lanes[0];
  }
  const double sum = ((blocks[0] + blocks[1]) + (blocks[2] + blocks[3])) + blocks[4];
  const double distance = static_cast<double>(max) - op.logits.get(op.target(0));
  EXPECT_EQ(op.loss.get(0), static_cast<float>(std::log(sum) + distance));
}

TEST(CrossEntropy, LargeLogitsDoNotOverflow) {
  CpuContext context(1);
  Operation op(context, 2, 3, DType::kF32);
  for (int64_t i = 0; i < 6; ++i) op.logits.set(i, i < 3 ? 3e38f : -3e38f);
  op.logits.set(0, -3e38f);
  op.set_target(0, 1);
  op.set_target(1, 2);
  op.run(context);
  EXPECT_FLOAT_EQ(op.loss.get(0), std::log(2.0f));
  EXPECT_FLOAT_EQ(op.loss.get(1), std::log(3.0f));
  EXPECT_EQ(op.dlogits.get(0), 0.0f);
}

TEST(CrossEntropy, NonFiniteLogitsReachTheLoss) {
  CpuContext context(1);
  for (float bad : {kNaN, kInf}) {
    for (int64_t at : {0, 5, 1023, 1024, 1499}) {
      Operation op(context, 2, 1500, DType::kF32);
      op.logits.set(1500 + at, bad);
      op.run(context);
      EXPECT_TRUE(std::isfinite(op.loss.get(0)));
      EXPECT_TRUE(std::isnan(op.loss.get(1))) << bad << " at " << at;
      EXPECT_TRUE(std::isnan(op.dlogits.get(1500)));
    }
  }
  Operation masked(context, 1, 40, DType::kF32);
  for (int64_t v = 1; v < 40; ++v) masked.logits.set(v, -kInf);
  masked.set_target(0, 0);
  masked.run(context);
  EXPECT_EQ(masked.loss.get(0), 0.0f);
  masked.set_target(0, 1);
  masked.run(context);
  EXPECT_EQ(masked.loss.get(0), kInf);
}

template <class Body>
void expect_error(const Body& body, const char* fragment) {
  try {
    body();
    ADD_FAILURE() << "no error, expected one with: " << fragment;
  } catch (const Error& error) {
    EXPECT_NE(error.message().find(fragment), std::string::npos) << error.message();
  }
}

TEST(CrossEntropy, RefusesWhatDoesNotFitTogether) {
  CpuContext context(2);
  ATHANOR_SKIP_UNLESS_CPU(context);
  Operation op(context, 3, 10, DType::kF32);
  op.set_target(1, 10);
  expect_error([&] { op.run(context); }, "targets[1] is 10, vocab_size is 10");
  op.set_target(1, -100);
  expect_error([&] { op.run(context); }, "targets[1] is -100");
  Operation other(context, 4, 10, DType::kBF16);
  expect_error(
      [&] {
        cross_entropy(other.loss, op.dlogits, op.logits, op.targets, 0.0f, context.put(op.scalars),
                      context.stream);
      },
      "loss has shape [4], expected [3]");
  expect_error(
      [&] {
        cross_entropy(op.loss, op.dlogits, op.logits, op.targets, 0.0f, nullptr, context.stream);
      },
      "loss scale");
}

// One float in 4,096 of all, and the edges; a loop (vector code) has the bits of single calls.
TEST(VectorMath, ExpIsWithinTwoUlpAndTheSameInLoops) {
  std::vector<float> x{0.0f,      -0.0f,     kInf,   -kInf,   kNaN,
                       88.72283f, 88.72284f, -87.4f, -103.9f, -104.0f};
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 4096) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits + bits / 4096 % 4096)));
  }
  std::vector<float> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = exp_f32(x[i]);
  for (size_t i = 0; i < x.size(); ++i) {
    const volatile float alone = x[i];
    ASSERT_EQ(std::bit_cast<uint32_t>(y[i]), std::bit_cast<uint32_t>(exp_f32(alone))) << x[i];
    if (std::isnan(x[i])) {
      ASSERT_TRUE(std::isnan(y[i]));
      continue;
    }
    const double exact = std::exp(static_cast<double>(x[i]));
    const auto want = static_cast<float>(exact);
    if (std::isinf(want)) {
      ASSERT_EQ(y[i], want) << x[i];
      continue;
    }
    const double ulp = static_cast<double>(std::nextafter(want, kInf)) - static_cast<double>(want);
    ASSERT_LE(std::abs(static_cast<double>(y[i]) - exact), 2 * ulp) << x[i];
  }
  EXPECT_EQ(exp_f32(0.0f), 1.0f);
  EXPECT_EQ(std::bit_cast<uint32_t>(exp_f32(-kInf)), 0u);
}

TEST(VectorMath, SigmoidReachesBothEnds) {
  EXPECT_EQ(sigmoid_f32(0.0f), 0.5f);
  EXPECT_EQ(sigmoid_f32(kInf), 1.0f);
  EXPECT_EQ(sigmoid_f32(-kInf), 0.0f);
  EXPECT_EQ(silu_f32(-200.0f), 0.0f);
  EXPECT_TRUE(std::isnan(sigmoid_f32(kNaN)));
  for (float x = -80.0f; x < 80.0f; x += 0.37f) {
    const double want = 1.0 / (1.0 + std::exp(-static_cast<double>(x)));
    ASSERT_NEAR(sigmoid_f32(x) / want, 1.0, 4e-7) << x;
  }
}

// start + the sum of values, as add_sum leaves it on the device.
double added_sum(CpuContext& context, double start, const Owned& values) {
  Owned sum(context, DType::kI64, Shape{1});  // 8 bytes: a float64
  *static_cast<double*>(sum.host().raw()) = start;
  add_sum(static_cast<double*>(sum.tensor().raw()), values, context.stream);
  return *static_cast<double*>(sum.host().raw());
}

TEST(AddSum, AddsInBlockedOrder) {
  for (int64_t count : {0, 1, 31, 1024, 1025, 5000}) {
    CpuContext context(2);
    Owned values(context, DType::kF32, Shape{count});
    values.fill_random(11);
    const double sum = added_sum(context, 0.125, values);
    const double want =
        0.125 + blocked_sum(count, [&](int64_t i, float lane) { return lane + values.get(i); });
    EXPECT_EQ(sum, want) << count;
  }
}

TEST(AddSum, KeepsNonFiniteValues) {
  CpuContext context(1);
  Owned values(context, DType::kF32, Shape{3});
  values.set(1, kNaN);
  EXPECT_TRUE(std::isnan(added_sum(context, 0, values)));
}

}  // namespace
}  // namespace athanor::testing

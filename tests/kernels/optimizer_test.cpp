// AdamW and SGD against float64, AdamW's first step by hand, and the bits of a scalar loop.
#include "kernels/optimizer/optimizer.h"

#include "core/pairwise.h"
#include "kernels/optimizer/eight_bit.h"
#include "kernels/optimizer/update_rules.h"
#include "tests/support/same_bits.h"

namespace athanor::testing {
namespace {

constexpr double kWeightDecay = 0.1;
const AdamWOptions kOptions;

StepScalars scalars_at(int step) {  // counts from 1
  StepScalars scalars;
  scalars.learning_rate = 1e-2 / step;
  scalars.clip_scale = 0.5;
  scalars.bias_correction1 = 1 - std::pow(kOptions.beta1, step);
  scalars.bias_correction2 = 1 - std::pow(kOptions.beta2, step);
  return scalars;
}

struct State {
  State(CpuContext& context, int64_t n)
      : master(context, DType::kF32, {n}),
        m(context, DType::kF32, {n}),
        v(context, DType::kF32, {n}),
        grad(context, DType::kF32, {n}) {
    master.fill_random(1);
  }
  void step(CpuContext& context, int t, Tensor working = Tensor()) {
    grad.fill_random(100 + static_cast<uint64_t>(t), 0.1f);
    const StepScalars scalars = scalars_at(t);
    adamw_update(working, master, m, v, grad, kOptions, kWeightDecay, context.put(scalars),
                 context.stream);
  }
  Owned master, m, v, grad;
};

TEST(AdamW, MatchesFloat64OverTwentySteps) {
  for (int64_t n : {0, 1, 31, 1025, 20003}) {
    CpuContext context;
    State state(context, n);
    std::vector<double> w = state.master.values();
    std::vector<double> m(w.size());
    std::vector<double> v(w.size());
    for (int t = 1; t <= 20; ++t) {
      state.step(context, t);
      const StepScalars s = scalars_at(t);
      for (size_t i = 0; i < w.size(); ++i) {
        const double g = state.grad.get(static_cast<int64_t>(i)) * s.clip_scale;
        w[i] *= 1 - s.learning_rate * kWeightDecay;
        m[i] = kOptions.beta1 * m[i] + (1 - kOptions.beta1) * g;
        v[i] = kOptions.beta2 * v[i] + (1 - kOptions.beta2) * g * g;
        w[i] -= s.learning_rate / s.bias_correction1 * m[i] /
                (std::sqrt(v[i]) / std::sqrt(s.bias_correction2) + kOptions.epsilon);
      }
    }
    expect_close(state.master, w, 2e-6, "master");  // 20 steps of about five roundings of 2^-24
    expect_close(state.m, m, 1e-7, "m");            // of values below 0.05
    expect_close(state.v, v, 1e-9, "v");            // of values below 0.0025
  }
}

// w = 1, g = 0.5, lr = 0.1, decay 0.1: m = 0.05, v = 0.00025, both corrected to g and g^2, so
// w = 1 * 0.99 - 0.1 * 0.5 / (0.5 + 1e-8) = 0.89.
TEST(AdamW, FirstStepByHand) {
  CpuContext context;
  State state(context, 1);
  state.master.set(0, 1.0f);
  state.grad.set(0, 0.5f);
  StepScalars scalars;
  scalars.learning_rate = 0.1;
  scalars.bias_correction1 = 0.1;
  scalars.bias_correction2 = 0.001;
  adamw_update(Tensor(), state.master, state.m, state.v, state.grad, kOptions, 0.1,
               context.put(scalars), context.stream);
  EXPECT_NEAR(state.m.get(0), 0.05, 1e-8);
  EXPECT_NEAR(state.v.get(0), 0.00025, 1e-10);
  EXPECT_NEAR(state.master.get(0), 0.89, 2e-7);
}

// torch.optim.AdamW (2.13, CPU, float32, foreach=False), lr 1e-2, betas (0.9, 0.999), eps 1e-8,
// weight_decay 0.1, three steps from w = 1 with g = 0.5, -0.25, 1e-3.
TEST(AdamW, MatchesTorchOverThreeSteps) {
  CpuContext context;
  State state(context, 1);
  state.master.set(0, 1.0f);
  const float grads[] = {0.5f, -0.25f, 1e-3f};
  const double want_w[] = {0.989000022, 0.985347688, 0.982292116};
  const double want_m[] = {0.0500000007, 0.0199999996, 0.0180999991};
  const double want_v[] = {0.000250000012, 0.00031225002, 0.000311938755};
  for (int t = 1; t <= 3; ++t) {
    state.grad.set(0, grads[t - 1]);
    StepScalars scalars = scalars_at(t);
    scalars.learning_rate = 1e-2;
    scalars.clip_scale = 1;
    adamw_update(Tensor(), state.master, state.m, state.v, state.grad, kOptions, kWeightDecay,
                 context.put(scalars), context.stream);
    // One unit in the last place: torch does not fuse.
    EXPECT_NEAR(state.master.get(0), want_w[t - 1], 1.2e-7);
    EXPECT_NEAR(state.m.get(0), want_m[t - 1], 8e-9);
    EXPECT_NEAR(state.v.get(0), want_v[t - 1], 4e-11);
  }
}

// The rule as a device would compute it: one element at a time, every rounding written out.
TEST(AdamW, HasTheBitsOfTheScalarRule) {
  CpuContext context;
  const int64_t n = 3001;
  State state(context, n);
  for (int t = 1; t <= 3; ++t) {
    const std::vector<double> w0 = state.master.values();
    const std::vector<double> m0 = state.m.values();
    const std::vector<double> v0 = state.v.values();
    state.step(context, t);
    const StepScalars s = scalars_at(t);
    const auto lr = s.learning_rate;
    for (int64_t i = 0; i < n; ++i) {
      const auto k = static_cast<size_t>(i);
      volatile float g = state.grad.get(i) * 0.5f;
      volatile float w = static_cast<float>(w0[k]) * static_cast<float>(1 - lr * kWeightDecay);
      volatile float difference = g - static_cast<float>(m0[k]);
      const float m =
          std::fma(difference, static_cast<float>(1 - kOptions.beta1), static_cast<float>(m0[k]));
      volatile float weighted = static_cast<float>(1 - kOptions.beta2) * g;
      volatile float decayed = static_cast<float>(v0[k]) * static_cast<float>(kOptions.beta2);
      const float v = std::fma(weighted, g, decayed);
      volatile float root = std::sqrt(v) / static_cast<float>(std::sqrt(s.bias_correction2));
      volatile float denominator = root + static_cast<float>(kOptions.epsilon);
      volatile float scaled = static_cast<float>(lr / s.bias_correction1) * m;
      volatile float update = scaled / denominator;
      ASSERT_EQ(state.m.get(i), m) << i;
      ASSERT_EQ(state.v.get(i), v) << i;
      ASSERT_EQ(state.master.get(i), w - update) << i;
    }
  }
}

TEST(AdamW, WorkingCopyIsTheRoundedMaster) {
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    CpuContext context;
    State with(context, 777);
    State without(context, 777);
    Owned working(context, dtype, {777});
    with.step(context, 1, working);
    without.step(context, 1);
    EXPECT_TRUE(with.master.bytes() == without.master.bytes());
    for (int64_t i = 0; i < 777; ++i) {
      const float w = with.master.get(i);
      ASSERT_EQ(working.get(i), dtype == DType::kF32 ? w : to_float(to_bfloat16(w)));
    }
  }
}

TEST(AdamW, SameBitsOnAnyThreadsAndAnySplit) {
  const int64_t n = 70001;
  expect_same_bits_on_any_threads([&](CpuContext& context) {
    State state(context, n);
    for (int t = 1; t <= 2; ++t) state.step(context, t);
    return state.master.bytes();
  });
  CpuContext context;
  State whole(context, n);
  State parts(context, n);
  whole.step(context, 1);
  parts.grad.fill_random(101, 0.1f);
  const StepScalars scalars = scalars_at(1);
  const int64_t cut = 12345;
  for (const auto& [begin, count] :
       std::vector<std::pair<int64_t, int64_t>>{{0, cut}, {cut, n - cut}}) {
    const auto part = [&, begin = begin, count = count](const Owned& tensor) {
      return tensor.tensor().rows(begin, count);
    };
    adamw_update(Tensor(), part(parts.master), part(parts.m), part(parts.v), part(parts.grad),
                 kOptions, kWeightDecay, context.put(scalars), context.stream);
  }
  EXPECT_TRUE(whole.master.bytes() == parts.master.bytes());
  EXPECT_TRUE(whole.v.bytes() == parts.v.bytes());
}

TEST(Sgd, MatchesFloat64AndRoundsTheWorkingCopy) {
  for (int64_t n : {0, 1, 1000, 16385}) {
    CpuContext context;
    State state(context, n);
    Owned working(context, DType::kBF16, {n});
    state.grad.fill_random(2);
    std::vector<double> want = state.master.values();
    const StepScalars s = scalars_at(1);
    for (size_t i = 0; i < want.size(); ++i) {
      want[i] = want[i] * (1 - s.learning_rate * kWeightDecay) -
                s.learning_rate * s.clip_scale * state.grad.get(static_cast<int64_t>(i));
    }
    sgd_update(working, state.master, state.grad, kWeightDecay, context.put(s), context.stream);
    expect_close(state.master, want, 2e-7, "master");
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(working.get(i), to_float(to_bfloat16(state.master.get(i))));
    }
  }
}

TEST(Lion, MatchesFloat64OverFiveSteps) {
  for (int64_t n : {0, 1, 1000, 16385}) {
    CpuContext context;
    State state(context, n);
    std::vector<double> w = state.master.values();
    std::vector<double> m(w.size());
    for (int t = 1; t <= 5; ++t) {
      state.grad.fill_random(100 + static_cast<uint64_t>(t), 0.1f);
      if (n > 10) state.grad.set(10, 0.0f);
      const StepScalars s = scalars_at(t);
      for (size_t i = 0; i < w.size(); ++i) {
        const double g = state.grad.get(static_cast<int64_t>(i)) * s.clip_scale;
        const double direction = kOptions.beta1 * m[i] + (1 - kOptions.beta1) * g;
        w[i] *= 1 - s.learning_rate * kWeightDecay;
        w[i] -= s.learning_rate * ((direction > 0) - (direction < 0));
        m[i] = kOptions.beta2 * m[i] + (1 - kOptions.beta2) * g;
      }
      lion_update(Tensor(), state.master, state.m, state.grad, kOptions, kWeightDecay,
                  context.put(s), context.stream);
    }
    expect_close(state.master, w, 1e-6, "master");
    expect_close(state.m, m, 1e-8, "m");
  }
}

TEST(EightBit, CodesAscendAndAreTheirOwnNearest) {
  for (const EightBitKind kind : {EightBitKind::kSigned, EightBitKind::kUnsigned}) {
    float values[256];
    for (int code = 0; code < 256; ++code) values[code] = code_value(kind, code);
    for (int code = 0; code < 256; ++code) {
      ASSERT_EQ(nearest_code(values, values[code]), code);
      if (code == 0) continue;
      ASSERT_LT(values[code - 1], values[code]);
      const float middle = code_midpoint(values, code - 1);
      ASSERT_EQ(nearest_code(values, middle), code - 1);
      ASSERT_EQ(nearest_code(values, std::nextafter(middle, 2.0f)), code);
    }
    EXPECT_EQ(values[255], 1.0f);
  }
  EXPECT_EQ(code_value(EightBitKind::kSigned, kSignedZero), 0.0f);
  // The middle of the first of 64 parts of [0.1, 1), and of the only one of [1e-7, 1e-6).
  EXPECT_EQ(code_value(EightBitKind::kSigned, 191), static_cast<float>(0.1 + 0.9 / 128));
  EXPECT_EQ(code_value(EightBitKind::kSigned, 128), static_cast<float>(1e-6 * 0.55));
  EXPECT_EQ(code_value(EightBitKind::kUnsigned, 2), static_cast<float>(1e-6 * 0.775));
}

struct EightBitState {
  EightBitState(CpuContext& context, int64_t n)
      : master(context, DType::kF32, {n}),
        m(context, DType::kU8, {(n + 127) / 128, 132}),
        v(context, DType::kU8, {(n + 127) / 128, 132}),
        grad(context, DType::kF32, {n}) {
    master.fill_random(1);
  }
  // Gradients of all magnitudes, and blocks and elements without any.
  void step(CpuContext& context, int t, Tensor working = Tensor()) {
    grad.fill_random(100 + static_cast<uint64_t>(t), 0.1f);
    for (int64_t i = 0; i < grad.host().numel(); ++i) {
      if (i / 128 % 5 == 4 || i % 11 == 3) grad.set(i, 0.0f);
      if (i % 7 == 1) grad.set(i, grad.get(i) * 1e-6f);
    }
    const StepScalars scalars = scalars_at(t);
    adamw8_update(working, master, m, v, grad, kOptions, kWeightDecay, context.put(scalars),
                  context.stream);
  }
  static const EightBitBlock* blocks(Owned& moment) {
    return static_cast<const EightBitBlock*>(moment.host().raw());
  }
  Owned master, m, v, grad;
};

// One element at a time, the code by bisection.
TEST(AdamW8Bit, HasTheBitsOfTheScalarRule) {
  const int64_t n = 5 * 1024 + 77;
  CpuContext context;
  EightBitState state(context, n);
  float of_m[256];
  float of_v[256];
  for (int code = 0; code < 256; ++code) {
    of_m[code] = code_value(EightBitKind::kSigned, code);
    of_v[code] = code_value(EightBitKind::kUnsigned, code);
  }
  std::vector<EightBitBlock> m(static_cast<size_t>((n + 127) / 128));
  std::vector<EightBitBlock> v = m;
  std::vector<double> w = state.master.values();
  for (int t = 1; t <= 4; ++t) {
    state.step(context, t);
    const AdamWScalars scalars = adamw_scalars(kOptions, kWeightDecay, scalars_at(t));
    for (size_t b = 0; b < m.size(); ++b) {
      float first[128] = {};
      float second[128] = {};
      float m_max = 0;
      float v_max = 0;
      for (int64_t k = 0; k < 128; ++k) {
        const int64_t i = static_cast<int64_t>(b) * 128 + k;
        if (i >= n) break;
        first[k] = of_m[m[b].code[k]] * m[b].absmax;
        second[k] = of_v[v[b].code[k]] * v[b].absmax;
        auto master = static_cast<float>(w[static_cast<size_t>(i)]);
        adamw_element(master, first[k], second[k], state.grad.get(i), scalars);
        w[static_cast<size_t>(i)] = master;
        ASSERT_EQ(state.master.get(i), master) << i << " step " << t;
        m_max = std::max(m_max, std::fabs(first[k]));
        v_max = std::max(v_max, second[k]);
      }
      m[b].absmax = m_max;
      v[b].absmax = v_max;
      for (int k = 0; k < 128; ++k) {
        m[b].code[k] = static_cast<uint8_t>(nearest_code(of_m, share_of(first[k], m_max)));
        const int nearest = nearest_code(of_v, share_of(second[k], v_max));
        v[b].code[k] = static_cast<uint8_t>(second_moment_code(nearest, second[k]));
        ASSERT_EQ(EightBitState::blocks(state.m)[b].code[k], m[b].code[k]) << b << " " << k;
        ASSERT_EQ(EightBitState::blocks(state.v)[b].code[k], v[b].code[k]) << b << " " << k;
      }
      ASSERT_EQ(EightBitState::blocks(state.m)[b].absmax, m_max);
      ASSERT_EQ(EightBitState::blocks(state.v)[b].absmax, v_max);
    }
  }
}

// Rounded moments move a weight by a few hundredths of a step: |step| <= lr of each of the steps.
TEST(AdamW8Bit, StaysNearAdamWInFullPrecision) {
  const int64_t n = 4096;
  CpuContext context;
  EightBitState state(context, n);
  State full(context, n);
  double lr_sum = 0;
  for (int t = 1; t <= 20; ++t) {
    state.step(context, t);
    const StepScalars s = scalars_at(t);
    adamw_update(Tensor(), full.master, full.m, full.v, state.grad, kOptions, kWeightDecay,
                 context.put(s), context.stream);
    lr_sum += s.learning_rate;
  }
  double total = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double off = std::fabs(state.master.get(i) - full.master.get(i));
    ASSERT_LT(off, lr_sum) << i;
    total += off;
  }
  EXPECT_GT(total, 0.0);
  EXPECT_LT(total / static_cast<double>(n), 0.05 * lr_sum);
}

TEST(AdamW8Bit, SameBitsOnAnyThreadsAndAWorkingCopyThatIsRounded) {
  expect_same_bits_on_any_threads([&](CpuContext& context) {
    EightBitState state(context, 70001);
    for (int t = 1; t <= 2; ++t) state.step(context, t);
    return state.master.bytes();
  });
  CpuContext context;
  EightBitState state(context, 777);
  Owned working(context, DType::kBF16, {777});
  state.step(context, 1, working);
  for (int64_t i = 0; i < 777; ++i) {
    ASSERT_EQ(working.get(i), to_float(to_bfloat16(state.master.get(i))));
  }
}

TEST(BlockSquareSums, AreThirtyTwoLanesFoldedPairwise) {
  for (int64_t n : {0, 1, 31, 1024, 1025, 50000}) {
    CpuContext context;
    Owned x(context, DType::kF32, {n});
    x.fill_random(3);
    const int64_t blocks = (n + 1023) / 1024;
    Owned on_device(context, DType::kI64, {blocks + 1});  // 8 bytes each: float64
    auto* sums = static_cast<double*>(on_device.host().raw());
    sums[blocks] = -1.0;
    block_square_sums(static_cast<double*>(on_device.tensor().raw()), x, context.stream);
    on_device.host();
    for (int64_t b = 0; b < blocks; ++b) {
      float lanes[32] = {};
      for (int64_t i = b * 1024; i < std::min(n, b * 1024 + 1024); ++i) {
        lanes[i % 32] = std::fma(x.get(i), x.get(i), lanes[i % 32]);
      }
      const float sum = tree_reduce(
          0, 32,
          [&](int64_t pair) {
            return lanes[pair % 2 * 16 + pair / 2 % 2 * 8 + pair / 4 % 2 * 4 + pair / 8 % 2 * 2 +
                         pair / 16];
          },
          [](float a, float b2) { return a + b2; });
      ASSERT_EQ(sums[b], static_cast<double>(sum)) << b;
    }
    EXPECT_EQ(sums[blocks], -1.0);
  }
}

TEST(TreeAdd, AddsInPlace) {
  CpuContext context;
  Owned a(context, DType::kF32, {20001});
  Owned b(context, DType::kF32, {20001});
  a.fill_random(1);
  b.fill_random(2);
  const std::vector<double> before = b.values();
  tree_add(b, a, b, context.stream);
  for (int64_t i = 0; i < 20001; ++i) {
    ASSERT_EQ(b.get(i), a.get(i) + static_cast<float>(before[static_cast<size_t>(i)]));
  }
}

}  // namespace
}  // namespace athanor::testing

// Attention against a float64 reference, its gradient against finite differences of that reference,
// and the promises about bits: threads, packing, caches, instruction sets.
#include "kernels/attention/attention.h"

#include <limits>
#include <memory>
#include <numeric>
#include <string>

#include "kernels/cpu/isa.h"
#include "tests/support/kernel_support.h"

namespace athanor::testing {
namespace {

using Lengths = std::vector<int64_t>;

AttentionShape make_shape(int64_t heads, int64_t kv_heads, int64_t head_dim, int64_t window = 0,
                          float soft_cap = 0) {
  return {heads,  kv_heads, head_dim, 1.0f / std::sqrt(static_cast<float>(head_dim)),
          window, soft_cap};
}

int64_t total(const Lengths& lengths) {
  return std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
}

Owned bounds(CpuContext& context, const Lengths& lengths) {
  const auto count = static_cast<int64_t>(lengths.size());
  Owned cu(context, DType::kI32, Shape{count + 1});
  int32_t* data = cu.tensor().data<int32_t>();
  data[0] = 0;
  for (int64_t s = 0; s < count; ++s) {
    data[s + 1] = data[s] + narrow<int32_t>(lengths[static_cast<size_t>(s)]);
  }
  return cu;
}

int64_t count_pairs(const Lengths& query_lengths, const Lengths& key_lengths) {
  int64_t pairs = 0;
  for (size_t s = 0; s < query_lengths.size(); ++s) {
    const int64_t before = key_lengths[s] - query_lengths[s];
    pairs += causal_pairs(query_lengths[s]) + before * query_lengths[s];
  }
  return pairs;
}

// ---- float64 reference ------------------------------------------------------------------------

struct Reference {
  std::vector<double> o, lse, dq, dk, dv;
};

struct Problem {
  Lengths query_lengths;
  Lengths key_lengths;
  AttentionShape shape;
  std::vector<double> q, k, v, d_o;  // d_o may be empty: forward only
};

// One query row of one head: probabilities over the `seen` keys from k_at, and the slopes of the
// scores' caps.
std::vector<double> row_softmax(const Problem& x, int64_t q_at, int64_t k_at, int64_t seen,
                                double* lse, std::vector<double>* slopes) {
  const int64_t d = x.shape.head_dim;
  const int64_t k_stride = x.shape.num_key_value_heads * d;
  std::vector<double> p(static_cast<size_t>(seen));
  double max = -std::numeric_limits<double>::infinity();
  for (int64_t j = 0; j < seen; ++j) {
    double score = 0;
    for (int64_t c = 0; c < d; ++c) {
      score +=
          x.q[static_cast<size_t>(q_at + c)] * x.k[static_cast<size_t>(k_at + j * k_stride + c)];
    }
    score *= static_cast<double>(x.shape.scale);
    const double cap = static_cast<double>(x.shape.soft_cap);
    const double tanh = cap > 0 ? std::tanh(score / cap) : 0.0;
    slopes->push_back(1 - tanh * tanh);
    p[static_cast<size_t>(j)] = cap > 0 ? cap * tanh : score;
    max = std::max(max, p[static_cast<size_t>(j)]);
  }
  double sum = 0;
  for (double& value : p) sum += value = std::exp(value - max);
  for (double& value : p) value /= sum;
  *lse = max + std::log(sum);
  return p;
}

// The query is the last but none of `visible` keys.
void reference_row(const Problem& x, int64_t q_at, int64_t k_at, int64_t visible, size_t lse_at,
                   Reference& out) {
  const int64_t d = x.shape.head_dim;
  const int64_t k_stride = x.shape.num_key_value_heads * d;
  const int64_t seen = x.shape.window > 0 ? std::min(visible, x.shape.window) : visible;
  k_at += (visible - seen) * k_stride;
  std::vector<double> slopes;
  const std::vector<double> p = row_softmax(x, q_at, k_at, seen, &out.lse[lse_at], &slopes);
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  for (int64_t j = 0; j < seen; ++j) {
    for (int64_t c = 0; c < d; ++c) {
      out.o[at(q_at + c)] += p[at(j)] * x.v[at(k_at + j * k_stride + c)];
    }
  }
  if (x.d_o.empty()) return;
  double delta = 0;
  for (int64_t c = 0; c < d; ++c) delta += x.d_o[at(q_at + c)] * out.o[at(q_at + c)];
  for (int64_t j = 0; j < seen; ++j) {
    const int64_t key = k_at + j * k_stride;
    double dp = 0;
    for (int64_t c = 0; c < d; ++c) dp += x.d_o[at(q_at + c)] * x.v[at(key + c)];
    const double ds = p[at(j)] * (dp - delta) * slopes[at(j)] * static_cast<double>(x.shape.scale);
    for (int64_t c = 0; c < d; ++c) {
      out.dv[at(key + c)] += p[at(j)] * x.d_o[at(q_at + c)];
      out.dk[at(key + c)] += ds * x.q[at(q_at + c)];
      out.dq[at(q_at + c)] += ds * x.k[at(key + c)];
    }
  }
}

Reference reference(const Problem& x) {
  Reference out;
  const int64_t queries = total(x.query_lengths);
  out.o.resize(x.q.size());
  out.dq.resize(x.q.size());
  out.dk.resize(x.k.size());
  out.dv.resize(x.v.size());
  out.lse.resize(static_cast<size_t>(x.shape.num_heads * queries));
  const int64_t d = x.shape.head_dim;
  const int64_t group = x.shape.num_heads / x.shape.num_key_value_heads;
  int64_t q_row = 0;
  int64_t k_row = 0;
  for (size_t s = 0; s < x.query_lengths.size(); ++s) {
    const int64_t before = x.key_lengths[s] - x.query_lengths[s];
    for (int64_t i = 0; i < x.query_lengths[s]; ++i) {
      for (int64_t h = 0; h < x.shape.num_heads; ++h) {
        reference_row(x, ((q_row + i) * x.shape.num_heads + h) * d,
                      (k_row * x.shape.num_key_value_heads + h / group) * d, i + before + 1,
                      static_cast<size_t>(h * queries + q_row + i), out);
      }
    }
    q_row += x.query_lengths[s];
    k_row += x.key_lengths[s];
  }
  return out;
}

// ---- the operation with its tensors -----------------------------------------------------------

struct Operation {
  Operation(CpuContext& context, DType dtype, const AttentionShape& s, const Lengths& query_lengths,
            const Lengths& key_lengths, uint64_t seed = 1, float amplitude = 1.0f)
      : shape(s),
        pairs(count_pairs(query_lengths, key_lengths)),
        queries(total(query_lengths)),
        q(context, dtype, Shape{queries, s.num_heads * s.head_dim}),
        k(context, dtype, Shape{total(key_lengths), s.num_key_value_heads * s.head_dim}),
        v(context, dtype, k.tensor().shape()),
        d_o(context, dtype, q.tensor().shape()),
        o(context, dtype, q.tensor().shape()),
        dq(context, dtype, q.tensor().shape()),
        dk(context, dtype, k.tensor().shape()),
        dv(context, dtype, k.tensor().shape()),
        lse(context, DType::kF32, Shape{s.num_heads, queries}),
        delta(context, DType::kF32, Shape{s.num_heads, queries}),
        cu_q(bounds(context, query_lengths)),
        cu_k(bounds(context, key_lengths)) {
    q.fill_random(seed, amplitude);
    k.fill_random(seed + 100, amplitude);
    v.fill_random(seed + 200);
    d_o.fill_random(seed + 300);
    for (Owned* output : {&o, &dq, &dk, &dv}) {
      output->fill_random(9);  // outputs are written, not added to
    }
  }
  Operation& forward(CpuContext& context) {
    attention_forward(o, lse, q, k, v, cu_q, cu_k, shape, pairs, context.stream);
    return *this;
  }
  Operation& backward(CpuContext& context) {
    attention_backward(dq, dk, dv, delta, d_o, q, k, v, o, lse, cu_q, shape, pairs, context.stream);
    return *this;
  }
  std::vector<std::vector<std::byte>> bytes() const {
    return {o.bytes(), lse.bytes(), dq.bytes(), dk.bytes(), dv.bytes()};
  }

  AttentionShape shape;
  int64_t pairs;
  int64_t queries;
  Owned q, k, v, d_o, o, dq, dk, dv, lse, delta, cu_q, cu_k;
};

// Copies rows between tensors of the same row size.
void copy_rows(const Owned& to, int64_t to_row, const Owned& from, int64_t from_row, int64_t rows) {
  if (rows == 0) return;
  const Tensor source = from.tensor().rows(from_row, rows);
  std::memcpy(to.tensor().rows(to_row, rows).raw(), source.raw(),
              static_cast<size_t>(source.bytes()));
}

void expect_same_rows(const Owned& a, int64_t a_row, const Owned& b, int64_t b_row, int64_t rows,
                      const std::string& what) {
  if (rows == 0) return;
  const Tensor left = a.tensor().rows(a_row, rows);
  const Tensor right = b.tensor().rows(b_row, rows);
  ASSERT_EQ(left.bytes(), right.bytes());
  EXPECT_EQ(std::memcmp(left.raw(), right.raw(), static_cast<size_t>(left.bytes())), 0) << what;
}

// ---- values -----------------------------------------------------------------------------------

struct Case {
  const char* name;
  int64_t heads, kv_heads, head_dim;
  Lengths query_lengths;
  Lengths key_lengths;  // empty: the same
  int64_t window = 0;
  float soft_cap = 0;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class AttentionValues : public ::testing::TestWithParam<std::tuple<Case, DType>> {};

// The reference takes the rounded inputs; bf16 is compared with the rounding of its own outputs
// (o, which delta reads, is rounded once more on the way to the gradients).
TEST_P(AttentionValues, MatchFloat64) {
  const auto& [c, dtype] = GetParam();
  const bool self = c.key_lengths.empty();
  const Lengths& key_lengths = self ? c.query_lengths : c.key_lengths;
  CpuContext context(2);
  Operation run(context, dtype, make_shape(c.heads, c.kv_heads, c.head_dim, c.window, c.soft_cap),
                c.query_lengths, key_lengths);
  run.forward(context);
  Problem problem{c.query_lengths, key_lengths,    run.shape,       run.q.values(),
                  run.k.values(),  run.v.values(), run.d_o.values()};
  const Reference want = reference(problem);
  expect_close(run.o, want.o, tolerance(dtype), "o");
  expect_close(run.lse, want.lse, tolerance(DType::kF32), "lse");
  if (!self) return;
  run.backward(context);
  expect_close(run.dq, want.dq, tolerance(dtype), "dq");
  expect_close(run.dk, want.dk, tolerance(dtype), "dk");
  expect_close(run.dv, want.dv, tolerance(dtype), "dv");
}

INSTANTIATE_TEST_SUITE_P(
    , AttentionValues,
    ::testing::Combine(
        ::testing::Values(
            Case{"one_token", 1, 1, 8, {1}, {}}, Case{"one_block", 2, 2, 16, {33}, {}},
            Case{"exact_blocks", 3, 1, 64, {192}, {}},
            Case{"odd_lengths", 4, 2, 64, {1, 63, 64, 65, 0, 97, 130, 2}, {}},
            Case{"head_dim_10", 2, 1, 10, {70, 31}, {}}, Case{"head_dim_1", 2, 1, 1, {70}, {}},
            Case{"head_dim_128", 2, 1, 128, {100, 5}, {}},
            Case{"group_of_5", 5, 1, 24, {75, 40}, {}},
            Case{"group_of_7_twice", 14, 2, 16, {80}, {}}, Case{"smollm_long", 9, 3, 64, {300}, {}},
            Case{"zero_lengths", 2, 1, 16, {0, 3, 0, 0, 5, 0}, {}},
            Case{"cache_decode", 6, 2, 32, {1, 1, 1}, {1, 64, 201}},
            Case{"cache_chunks", 4, 2, 32, {5, 40, 0, 100}, {70, 40, 17, 129}},
            Case{"window_of_1", 2, 1, 16, {70, 3}, {}, 1},
            Case{"window_of_50", 4, 2, 24, {300, 49, 50, 51, 1}, {}, 50},
            Case{"window_of_64", 2, 2, 16, {200, 64}, {}, 64},
            Case{"window_with_cache", 4, 2, 32, {1, 40, 0, 100}, {201, 70, 17, 229}, 33},
            Case{"soft_cap", 4, 2, 16, {130, 7}, {}, 0, 1.5f},
            Case{"soft_cap_and_window", 6, 2, 20, {230, 41}, {}, 37, 2.0f}),
        ::testing::Values(DType::kF32, DType::kBF16)),
    [](const auto& info) {
      return std::string(std::get<0>(info.param).name) + "_" + dtype_name(std::get<1>(info.param));
    });

// L = sum(o * d_o) differentiated numerically in float64: the reference's own gradient is right,
// and so is the operation's. Step 1e-4: truncation 1e-8, cancellation 1e-12.
TEST(Attention, GradientMatchesFiniteDifferences) {
  CpuContext context(1);
  const Lengths lengths{6, 1, 4};
  Operation run(context, DType::kF32, make_shape(4, 2, 3, 3, 0.8f), lengths, lengths);
  run.forward(context).backward(context);
  Problem problem{lengths, lengths, run.shape, run.q.values(), run.k.values(), run.v.values(), {}};
  const std::vector<double> d_o = run.d_o.values();
  const auto loss = [&] {
    const Reference out = reference(problem);
    return std::inner_product(d_o.begin(), d_o.end(), out.o.begin(), 0.0);
  };
  const auto slopes = [&](std::vector<double>& x) {
    std::vector<double> result;
    for (double& value : x) {
      const double saved = value;
      value = saved + 1e-4;
      const double above = loss();
      value = saved - 1e-4;
      result.push_back((above - loss()) / 2e-4);
      value = saved;
    }
    return result;
  };
  expect_close(run.dq, slopes(problem.q), tolerance(DType::kF32), "dq");
  expect_close(run.dk, slopes(problem.k), tolerance(DType::kF32), "dk");
  expect_close(run.dv, slopes(problem.v), tolerance(DType::kF32), "dv");
}

TEST(Attention, LargeScoresNeitherOverflowNorLoseTheMaximum) {
  CpuContext context(1);
  const Lengths lengths{150};
  Operation run(context, DType::kF32, make_shape(2, 1, 16), lengths, lengths, 3, 60.0f);
  run.forward(context).backward(context);
  const Reference want = reference({lengths, lengths, run.shape, run.q.values(), run.k.values(),
                                    run.v.values(), run.d_o.values()});
  // Scores reach thousands: their rounding, 2^-24 of that, passes into the exponent.
  expect_close(run.o, want.o, 2e-3, "o");
  expect_close(run.lse, want.lse, tolerance(DType::kF32), "lse");
  expect_close(run.dq, want.dq, 2e-3, "dq");
  expect_close(run.dk, want.dk, 2e-3, "dk");
}

// ---- bits -------------------------------------------------------------------------------------

// With everything visible, and with a window (that ends inside a block) and a soft cap.
class AttentionBits : public ::testing::TestWithParam<std::tuple<DType, bool>> {
 protected:
  DType dtype() const { return std::get<0>(GetParam()); }
  AttentionShape shape_of(int64_t heads, int64_t kv_heads, int64_t head_dim) const {
    const bool windowed = std::get<1>(GetParam());
    return make_shape(heads, kv_heads, head_dim, windowed ? 45 : 0, windowed ? 3.0f : 0.0f);
  }
};
INSTANTIATE_TEST_SUITE_P(, AttentionBits,
                         ::testing::Combine(::testing::Values(DType::kF32, DType::kBF16),
                                            ::testing::Bool()),
                         [](const auto& info) {
                           return std::string(dtype_name(std::get<0>(info.param))) +
                                  (std::get<1>(info.param) ? "_window_and_cap" : "");
                         });

// One thread takes whole sequences in the backward pass, eight take blocks: the same bits.
TEST_P(AttentionBits, DoNotDependOnThreads) {
  const Lengths lengths{150, 1, 64, 0, 97};
  std::vector<std::vector<std::byte>> first;
  for (int threads : {1, 2, 4, 8}) {
    CpuContext context(threads);
    Operation run(context, dtype(), shape_of(6, 2, 20), lengths, lengths);
    run.forward(context).backward(context);
    if (threads == 1) first = run.bytes();
    EXPECT_EQ(run.bytes(), first) << threads << " threads";
  }
}

TEST_P(AttentionBits, DoNotDependOnTheInstructionSet) {
  const Lengths lengths{150, 33};
  CpuContext context(2);
  std::vector<std::vector<std::byte>> first;
  for (CpuIsa isa : {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16}) {
    limit_cpu_isa(isa);
    Operation run(context, dtype(), shape_of(6, 2, 20), lengths, lengths);
    run.forward(context).backward(context);
    if (first.empty()) first = run.bytes();
    EXPECT_EQ(run.bytes(), first) << cpu_isa_name(active_cpu_isa());
  }
}

TEST_P(AttentionBits, PackedSequencesEqualSeparateOnes) {
  const Lengths lengths{65, 1, 0, 128, 40, 7};
  const AttentionShape shape = shape_of(6, 2, 16);
  CpuContext context(2);
  Operation packed(context, dtype(), shape, lengths, lengths);
  packed.forward(context).backward(context);
  int64_t row = 0;
  for (int64_t length : lengths) {
    Operation one(context, dtype(), shape, {length}, {length});
    for (auto [to, from] : {std::pair{&one.q, &packed.q},
                            {&one.k, &packed.k},
                            {&one.v, &packed.v},
                            {&one.d_o, &packed.d_o}}) {
      copy_rows(*to, 0, *from, row, length);
    }
    one.forward(context).backward(context);
    for (auto [a, b] : {std::pair{&one.o, &packed.o},
                        {&one.dq, &packed.dq},
                        {&one.dk, &packed.dk},
                        {&one.dv, &packed.dv}}) {
      expect_same_rows(*a, 0, *b, row, length, "length " + std::to_string(length));
    }
    for (int64_t h = 0; h < shape.num_heads; ++h) {
      for (int64_t i = 0; i < length; ++i) {
        ASSERT_EQ(one.lse.get(h * length + i), packed.lse.get(h * packed.queries + row + i));
      }
    }
    row += length;
  }
}

// A cache filled in any steps gives each row the bits it has when all come at once.
TEST_P(AttentionBits, DecodingEqualsPrefill) {
  const int64_t length = 200;
  const AttentionShape shape = shape_of(6, 2, 20);
  CpuContext context(2);
  Operation whole(context, dtype(), shape, {length}, {length});
  whole.forward(context);
  for (int64_t step : {1, 7, 64}) {
    for (int64_t begin = 0; begin < length; begin += step) {
      const int64_t end = std::min(length, begin + step);
      Operation part(context, dtype(), shape, {end - begin}, {end});
      copy_rows(part.q, 0, whole.q, begin, end - begin);
      copy_rows(part.k, 0, whole.k, 0, end);
      copy_rows(part.v, 0, whole.v, 0, end);
      part.forward(context);
      expect_same_rows(part.o, 0, whole.o, begin, end - begin,
                       "step " + std::to_string(step) + " at " + std::to_string(begin));
      for (int64_t h = 0; h < shape.num_heads; ++h) {
        for (int64_t i = begin; i < end; ++i) {
          ASSERT_EQ(part.lse.get(h * (end - begin) + i - begin), whole.lse.get(h * length + i));
        }
      }
    }
  }
}

// Which heads share a task does not show: a grouped head equals the same head alone.
TEST_P(AttentionBits, HeadsOfAGroupEqualSingleHeads) {
  const int64_t length = 100;
  const int64_t d = 12;
  for (int64_t group : {2, 3, 4, 5, 9}) {
    CpuContext context(2);
    Operation grouped(context, dtype(), shape_of(group, 1, d), {length}, {length});
    grouped.forward(context).backward(context);
    for (int64_t h = 0; h < group; ++h) {
      Operation one(context, dtype(), shape_of(1, 1, d), {length}, {length});
      for (int64_t i = 0; i < length * d; ++i) {
        const int64_t at = (i / d * group + h) * d + i % d;
        one.q.set(i, grouped.q.get(at));
        one.d_o.set(i, grouped.d_o.get(at));
      }
      one.forward(context).backward(context);
      for (int64_t i = 0; i < length * d; ++i) {
        const int64_t at = (i / d * group + h) * d + i % d;
        ASSERT_EQ(one.o.get(i), grouped.o.get(at)) << "group " << group << " head " << h;
        ASSERT_EQ(one.dq.get(i), grouped.dq.get(at)) << "group " << group << " head " << h;
      }
    }
  }
}

// ---- edges ------------------------------------------------------------------------------------

TEST(Attention, AcceptsNoTokensAndNoSequences) {
  for (const Lengths& lengths : {Lengths{}, Lengths{0}, Lengths{0, 0, 0}}) {
    CpuContext context(2);
    Operation run(context, DType::kF32, make_shape(2, 1, 8), lengths, lengths);
    run.forward(context).backward(context);
  }
}

TEST(Attention, RowsBehindTheLastSequenceBecomeZero) {
  CpuContext context(2);
  const Lengths padded{40, 12};
  Operation run(context, DType::kBF16, make_shape(2, 1, 8), padded, padded);
  Operation only(context, DType::kBF16, make_shape(2, 1, 8), {40}, {40});
  int32_t* cu = run.cu_q.tensor().data<int32_t>();
  cu[2] = cu[1];
  run.cu_k.tensor().data<int32_t>()[2] = cu[1];
  run.forward(context).backward(context);
  for (const Owned* output : {&run.o, &run.dq, &run.dk, &run.dv}) {
    const int64_t columns = output->tensor().dim(1);
    for (int64_t i = 40 * columns; i < 52 * columns; ++i) ASSERT_EQ(output->get(i), 0.0f);
  }
  for (int64_t h = 0; h < 2; ++h) {
    for (int64_t i = 40; i < 52; ++i) ASSERT_EQ(run.lse.get(h * 52 + i), 0.0f);
  }
}

// Non-finite values show in their own row and never reach another sequence. A key of -inf against
// positive queries is only never attended to: then it is the gradient that shows it.
TEST(Attention, NonFiniteValuesStayVisibleInTheirSequence) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const AttentionShape shape = make_shape(2, 1, 8);
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), kInf, -kInf}) {
    for (int input = 0; input < 3; ++input) {
      CpuContext context(2);
      const Lengths lengths{30, 100, 30};
      Operation run(context, DType::kF32, shape, lengths, lengths);
      const int64_t row = 100;
      (input == 0 ? run.q : input == 1 ? run.k : run.v).set(row * (input == 0 ? 16 : 8) + 3, bad);
      run.forward(context).backward(context);
      bool visible = false;
      for (int64_t i = 0; i < 16; ++i) {
        visible = visible || !std::isfinite(run.o.get(row * 16 + i)) ||
                  !std::isfinite(run.dq.get(row * 16 + i));
      }
      EXPECT_TRUE(visible) << "input " << input << " value " << bad;
      for (int64_t i = 0; i < 160 * 16; ++i) {
        if (i / 16 >= 30 && i / 16 < 130) continue;
        ASSERT_TRUE(std::isfinite(run.o.get(i)) && std::isfinite(run.dq.get(i))) << i / 16;
        ASSERT_TRUE(std::isfinite(run.dk.get(i / 2)) && std::isfinite(run.dv.get(i / 2)));
      }
    }
  }
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

TEST(Attention, RefusesWhatDoesNotFitTogether) {
  CpuContext context(1);
  const Lengths lengths{8};
  const AttentionShape shape = make_shape(4, 2, 8);
  Operation run(context, DType::kF32, shape, lengths, lengths);
  Operation half(context, DType::kBF16, shape, lengths, lengths);
  const auto forward = [&](const AttentionShape& s, const ConstTensor& k) {
    attention_forward(run.o, run.lse, run.q, k, run.v, run.cu_q, run.cu_k, s, run.pairs,
                      context.stream);
  };
  expect_error([&] { forward({4, 3, 8, 1.0f}, run.k); }, "not a multiple");
  expect_error([&] { forward({4, 2, 16, 1.0f}, run.k); }, "q has shape [8, 32], expected [8, 64]");
  expect_error([&] { forward(shape, half.k); }, "k has dtype BF16, expected F32");
  run.cu_q.tensor().data<int32_t>()[1] = 9;
  expect_error([&] { forward(shape, run.k); }, "cu_q");
  run.cu_q.tensor().data<int32_t>()[1] = 8;
  run.cu_k.tensor().data<int32_t>()[1] = 7;
  expect_error([&] { forward(shape, run.k); }, "more queries than keys");
}

TEST(Attention, CountsTheProductsOfItsPairs) {
  CountingStream counting;
  CpuContext context(1);
  const Lengths lengths{5, 3};
  Operation run(context, DType::kF32, make_shape(4, 2, 8), lengths, lengths);
  attention_forward(run.o, run.lse, run.q, run.k, run.v, run.cu_q, run.cu_k, run.shape, run.pairs,
                    counting);
  EXPECT_EQ(run.pairs, 15 + 6);
  EXPECT_EQ(counting.total().flops, 4.0 * 4 * 8 * 21);
  EXPECT_EQ(counting.total().bytes_written, run.o.tensor().bytes() + run.lse.tensor().bytes());
}

}  // namespace
}  // namespace athanor::testing

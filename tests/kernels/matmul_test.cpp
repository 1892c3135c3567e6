// Matrix products against float64 references and, bit for bit, against the chain of fused
// multiply-adds that the interface promises.
#include "kernels/matmul/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/tile_gemm.h"
#include "kernels/matmul/prepared.h"
#include "tests/support/kernel_support.h"

namespace athanor {
namespace {

using testing::CpuContext;
using testing::expect_close;
using testing::Owned;

struct Dims {
  int64_t m, n, k;
};

// Edges of tiles (1, 6, 8 rows; 16, 48 columns), of pairs, of k blocks (256 words) and of strips.
const Dims kDims[] = {{1, 1, 1},    {1, 48, 7},   {2, 3, 5},     {5, 15, 2},    {6, 16, 64},
                      {7, 17, 33},  {8, 47, 31},  {9, 49, 257},  {13, 64, 256}, {16, 96, 513},
                      {23, 97, 1},  {33, 31, 65}, {40, 145, 48}, {3, 500, 70},  {64, 8, 600},
                      {530, 33, 9}, {8, 1000, 3}, {1, 130, 1100}};

// Restores the widest instruction set at the end of a test.
struct IsaLimit {
  explicit IsaLimit(CpuIsa isa) { limit_cpu_isa(isa); }
  ~IsaLimit() { limit_cpu_isa(CpuIsa::kAvx512Bf16); }
};

std::vector<CpuIsa> available_isas() {
  std::vector<CpuIsa> result;
  for (CpuIsa isa : {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16}) {
    if (isa <= detect_cpu_isa()) result.push_back(isa);
  }
  return result;
}

// op(a)[m,k] as element (row, column) of the stored matrix.
int64_t at(bool transposed, int64_t row, int64_t column, int64_t rows, int64_t columns) {
  return transposed ? column * rows + row : row * columns + column;
}

struct Operands {
  Operands(CpuContext& context, Dims d, DType dtype, DType c_dtype, MatmulOptions options)
      : dims(d),
        options(options),
        a(context, dtype, options.transpose_a ? Shape{d.k, d.m} : Shape{d.m, d.k}),
        b(context, dtype, options.transpose_b ? Shape{d.n, d.k} : Shape{d.k, d.n}),
        c(context, c_dtype, Shape{d.m, d.n}) {
    a.fill_random(1);
    b.fill_random(2);
    c.fill_random(3);
  }
  double a_at(int64_t i, int64_t p) const {
    return a.get(at(options.transpose_a, i, p, dims.m, dims.k));
  }
  double b_at(int64_t p, int64_t j) const {
    return b.get(at(options.transpose_b, p, j, dims.k, dims.n));
  }
  std::vector<double> reference() const {
    std::vector<double> result(static_cast<size_t>(dims.m * dims.n), 0.0);
    for (int64_t i = 0; i < dims.m; ++i) {
      for (int64_t j = 0; j < dims.n; ++j) {
        double sum = options.accumulate ? c.get(i * dims.n + j) : 0.0;
        for (int64_t p = 0; p < dims.k; ++p) sum += a_at(i, p) * b_at(p, j);
        result[static_cast<size_t>(i * dims.n + j)] = sum;
      }
    }
    return result;
  }
  // The promised chain, in float32.
  std::vector<float> chain() const {
    std::vector<float> result(static_cast<size_t>(dims.m * dims.n));
    for (int64_t i = 0; i < dims.m; ++i) {
      for (int64_t j = 0; j < dims.n; ++j) {
        float sum = options.accumulate ? c.get(i * dims.n + j) : 0.0f;
        for (int64_t p = 0; p < dims.k; ++p) {
          sum = std::fma(static_cast<float>(a_at(i, p)), static_cast<float>(b_at(p, j)), sum);
        }
        result[static_cast<size_t>(i * dims.n + j)] = sum;
      }
    }
    return result;
  }

  Dims dims;
  MatmulOptions options;
  Owned a, b, c;
};

// Sums of up to 1,100 products of magnitude below 1 in float32 stay within 1e-5 of the largest;
// a bfloat16 result is rounded once more, by up to 2^-8 of itself.
double product_tolerance(DType c_dtype) { return c_dtype == DType::kF32 ? 1e-5 : 4e-3; }

template <class Body>
void for_each_option(const Body& body) {
  for (int bits = 0; bits < 8; ++bits)
    body(MatmulOptions{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0});
}

std::string describe(Dims d, MatmulOptions options) {
  return std::to_string(d.m) + "x" + std::to_string(d.n) + "x" + std::to_string(d.k) +
         (options.transpose_a ? " aT" : "") + (options.transpose_b ? " bT" : "") +
         (options.accumulate ? " +=" : "");
}

class MatmulDTypes : public ::testing::TestWithParam<std::tuple<DType, DType, CpuIsa>> {};

TEST_P(MatmulDTypes, AgreesWithFloat64) {
  const DType dtype = std::get<0>(GetParam());
  const DType c_dtype = std::get<1>(GetParam());
  const CpuIsa isa = std::get<2>(GetParam());
  if (isa > detect_cpu_isa()) GTEST_SKIP() << "this CPU has no " << cpu_isa_name(isa);
  const IsaLimit limit(isa);
  CpuContext context;
  for (const Dims& dims : kDims) {
    for_each_option([&](MatmulOptions options) {
      Operands x(context, dims, dtype, c_dtype, options);
      const std::vector<double> want = x.reference();
      matmul(x.c, x.a, x.b, options, context.stream);
      expect_close(x.c, want, product_tolerance(c_dtype), describe(dims, options).c_str());
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Matmul, MatmulDTypes,
                         ::testing::Combine(::testing::Values(DType::kF32, DType::kBF16),
                                            ::testing::Values(DType::kF32, DType::kBF16),
                                            ::testing::Values(CpuIsa::kGeneric, CpuIsa::kAvx2,
                                                              CpuIsa::kAvx512,
                                                              CpuIsa::kAvx512Bf16)),
                         [](const auto& info) {
                           return std::string(dtype_name(std::get<0>(info.param))) + "_to_" +
                                  dtype_name(std::get<1>(info.param)) + "_" +
                                  cpu_isa_name(std::get<2>(info.param));
                         });

TEST(Matmul, IsTheFmaChainBitForBitAtEveryIsa) {
  CpuContext context;
  for (CpuIsa isa : available_isas()) {
    const IsaLimit limit(isa);
    for (const Dims& dims : kDims) {
      for_each_option([&](MatmulOptions options) {
        Operands x(context, dims, DType::kF32, DType::kF32, options);
        const std::vector<float> want = x.chain();
        matmul(x.c, x.a, x.b, options, context.stream);
        ASSERT_EQ(std::memcmp(x.c.tensor().raw(), want.data(), want.size() * sizeof(float)), 0)
            << cpu_isa_name(isa) << " " << describe(dims, options);
      });
    }
  }
}

// Widened bfloat16 products are the same chain, so every level without vdpbf16ps agrees.
TEST(Matmul, WidenedBf16IsTheFmaChainBitForBit) {
  CpuContext context;
  for (CpuIsa isa : available_isas()) {
    if (isa == CpuIsa::kAvx512Bf16) continue;
    const IsaLimit limit(isa);
    for (const Dims& dims : kDims) {
      for_each_option([&](MatmulOptions options) {
        Operands x(context, dims, DType::kBF16, DType::kF32, options);
        const std::vector<float> want = x.chain();
        matmul(x.c, x.a, x.b, options, context.stream);
        ASSERT_EQ(std::memcmp(x.c.tensor().raw(), want.data(), want.size() * sizeof(float)), 0)
            << cpu_isa_name(isa) << " " << describe(dims, options);
      });
    }
  }
}

TEST(Matmul, Bf16OutputRoundsTheFloatProductOnce) {
  CpuContext context;
  for (const Dims& dims : kDims) {
    for (bool accumulate : {false, true}) {
      const MatmulOptions options{false, true, accumulate};
      Operands x(context, dims, DType::kBF16, DType::kBF16, options);
      Owned product(context, DType::kF32, Shape{dims.m, dims.n});
      matmul(product, x.a, x.b, {false, true, false}, context.stream);
      std::vector<float> want;
      for (int64_t i = 0; i < dims.m * dims.n; ++i) {
        const float before = accumulate ? x.c.get(i) : 0.0f;
        want.push_back(to_float(to_bfloat16(product.get(i) + before)));
      }
      matmul(x.c, x.a, x.b, options, context.stream);
      for (int64_t i = 0; i < dims.m * dims.n; ++i) {
        ASSERT_EQ(x.c.get(i), want[static_cast<size_t>(i)]) << describe(dims, options);
      }
    }
  }
}

TEST(Matmul, EmptyDimensionsGiveZerosOrLeaveC) {
  CpuContext context;
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    for (bool accumulate : {false, true}) {
      const MatmulOptions options{false, false, accumulate};
      Operands x(context, {5, 50, 0}, dtype, dtype, options);
      const std::vector<double> before = x.c.values();
      matmul(x.c, x.a, x.b, options, context.stream);
      for (int64_t i = 0; i < 250; ++i) {
        ASSERT_EQ(x.c.get(i), accumulate ? before[static_cast<size_t>(i)] : 0.0);
      }
      for (Dims dims : {Dims{0, 5, 3}, Dims{5, 0, 3}, Dims{0, 0, 0}}) {
        Operands y(context, dims, dtype, dtype, options);
        matmul(y.c, y.a, y.b, options, context.stream);
      }
    }
  }
}

TEST(Matmul, NamesTheTensorThatDoesNotFit) {
  CpuContext context;
  Owned a(context, DType::kF32, Shape{2, 3});
  Owned b(context, DType::kF32, Shape{4, 5});
  Owned c(context, DType::kF32, Shape{2, 5});
  try {
    matmul(c, a, b, {}, context.stream);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("b has shape [4, 5]"), std::string::npos) << error.message();
  }
}

class MatmulBits : public ::testing::TestWithParam<std::tuple<DType, DType>> {};

TEST_P(MatmulBits, DoNotDependOnThreads) {
  const auto [dtype, c_dtype] = GetParam();
  for (const Dims& dims : {Dims{64, 500, 600}, Dims{600, 16, 300}, Dims{16, 600, 900},
                           Dims{1, 1000, 515}, Dims{260, 200, 77}}) {
    for (bool transposed : {false, true}) {
      const MatmulOptions options{transposed, !transposed, dims.m % 3 == 0};
      std::vector<std::byte> first;
      for (int threads : {1, 2, 4, 8}) {
        CpuContext context(threads);
        Operands x(context, dims, dtype, c_dtype, options);
        matmul(x.c, x.a, x.b, options, context.stream);
        if (first.empty()) first = x.c.bytes();
        ASSERT_EQ(first, x.c.bytes()) << threads << " threads " << describe(dims, options);
      }
    }
  }
}

TEST_P(MatmulBits, OfARowDoNotDependOnTheOtherRows) {
  const auto [dtype, c_dtype] = GetParam();
  CpuContext context;
  for (const Dims& dims : {Dims{19, 100, 600}, Dims{70, 49, 33}}) {
    for (bool transpose_b : {false, true}) {
      const MatmulOptions options{false, transpose_b, false};
      Operands x(context, dims, dtype, c_dtype, options);
      matmul(x.c, x.a, x.b, options, context.stream);
      const std::vector<std::byte> whole = x.c.bytes();
      for (int64_t row = 0; row < dims.m; ++row) {
        matmul(x.c.tensor().rows(row, 1), x.a.tensor().rows(row, 1), x.b, options, context.stream);
      }
      ASSERT_EQ(whole, x.c.bytes());
    }
  }
}

// The same products with a, b stored transposed.
TEST_P(MatmulBits, DoNotDependOnTheStoredOrder) {
  const auto [dtype, c_dtype] = GetParam();
  CpuContext context;
  for (const Dims& dims : {Dims{19, 100, 600}, Dims{70, 49, 33}}) {
    Operands x(context, dims, dtype, c_dtype, {});
    matmul(x.c, x.a, x.b, {}, context.stream);
    Operands y(context, dims, dtype, c_dtype, {true, true, false});
    for (int64_t p = 0; p < dims.k; ++p) {
      for (int64_t i = 0; i < dims.m; ++i) y.a.set(p * dims.m + i, x.a.get(i * dims.k + p));
      for (int64_t j = 0; j < dims.n; ++j) y.b.set(j * dims.k + p, x.b.get(p * dims.n + j));
    }
    matmul(y.c, y.a, y.b, y.options, context.stream);
    ASSERT_EQ(x.c.bytes(), y.c.bytes());
  }
}

INSTANTIATE_TEST_SUITE_P(Matmul, MatmulBits,
                         ::testing::Combine(::testing::Values(DType::kF32, DType::kBF16),
                                            ::testing::Values(DType::kF32, DType::kBF16)),
                         [](const auto& info) {
                           return std::string(dtype_name(std::get<0>(info.param))) + "_to_" +
                                  dtype_name(std::get<1>(info.param));
                         });

struct Linear {
  Linear(CpuContext& context, DType dtype, int64_t out, int64_t in)
      : weight(context, dtype, Shape{out, in}),
        prepared(context, DType::kU8, Shape{prepared_weight_bytes(dtype, out, in)}) {
    weight.fill_random(4);
    std::memset(prepared.tensor().raw(), 0xff, static_cast<size_t>(prepared.tensor().bytes()));
    prepare_weight(prepared, weight, context.stream);
    plain_only = {weight, {}, dtype, out, in};
    prepared_only = {{}, prepared, dtype, out, in};
    both = {weight, prepared, dtype, out, in};
  }
  Owned weight, prepared;
  LinearWeight plain_only, prepared_only, both;
};

class LinearLayers : public ::testing::TestWithParam<std::tuple<DType, CpuIsa>> {};

TEST_P(LinearLayers, GiveTheSameBitsFromPlainAndPreparedWeights) {
  const auto [dtype, isa] = GetParam();
  if (isa > detect_cpu_isa()) GTEST_SKIP() << "this CPU has no " << cpu_isa_name(isa);
  const IsaLimit limit(isa);
  for (int threads : {1, 4}) {
    CpuContext context(threads);
    for (const Dims& dims : kDims) {
      const int64_t rows = dims.m, out = dims.n, in = dims.k;
      const Linear layer(context, dtype, out, in);
      Owned x(context, dtype, Shape{rows, in}), dy(context, dtype, Shape{rows, out});
      Owned y(context, dtype, Shape{rows, out}), dx(context, dtype, Shape{rows, in});
      x.fill_random(5);
      dy.fill_random(6);
      for (bool accumulate : {false, true}) {
        std::vector<std::byte> first_y, first_dx;
        for (const LinearWeight* weight : {&layer.plain_only, &layer.prepared_only, &layer.both}) {
          y.fill_random(7);
          dx.fill_random(8);
          linear_forward(y, x, *weight, accumulate, context.stream);
          linear_backward_input(dx, dy, *weight, accumulate, context.stream);
          if (first_y.empty()) first_y = y.bytes();
          if (first_dx.empty()) first_dx = dx.bytes();
          ASSERT_EQ(first_y, y.bytes()) << describe(dims, {}) << " forward";
          ASSERT_EQ(first_dx, dx.bytes()) << describe(dims, {}) << " backward";
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Matmul, LinearLayers,
                         ::testing::Combine(::testing::Values(DType::kF32, DType::kBF16),
                                            ::testing::Values(CpuIsa::kGeneric, CpuIsa::kAvx2,
                                                              CpuIsa::kAvx512,
                                                              CpuIsa::kAvx512Bf16)),
                         [](const auto& info) {
                           return std::string(dtype_name(std::get<0>(info.param))) + "_" +
                                  cpu_isa_name(std::get<1>(info.param));
                         });

TEST(Linear, AgreesWithFloat64) {
  CpuContext context;
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    const int64_t rows = 37, out = 75, in = 101;
    const Linear layer(context, dtype, out, in);
    Owned x(context, dtype, Shape{rows, in}), dy(context, dtype, Shape{rows, out});
    Owned y(context, dtype, Shape{rows, out}), dx(context, dtype, Shape{rows, in});
    Owned dweight(context, DType::kF32, Shape{out, in});
    x.fill_random(5);
    dy.fill_random(6);
    dweight.fill_random(7);
    std::vector<double> want_y(static_cast<size_t>(rows * out)), want_dweight = dweight.values();
    std::vector<double> want_dx(static_cast<size_t>(rows * in));
    for (int64_t n = 0; n < rows; ++n) {
      for (int64_t o = 0; o < out; ++o) {
        for (int64_t i = 0; i < in; ++i) {
          const double w = layer.weight.get(o * in + i);
          want_y[static_cast<size_t>(n * out + o)] += x.get(n * in + i) * w;
          want_dx[static_cast<size_t>(n * in + i)] += dy.get(n * out + o) * w;
          want_dweight[static_cast<size_t>(o * in + i)] +=
              static_cast<double>(dy.get(n * out + o)) * x.get(n * in + i);
        }
      }
    }
    linear_forward(y, x, layer.prepared_only, false, context.stream);
    linear_backward_input(dx, dy, layer.prepared_only, false, context.stream);
    linear_backward_weight(dweight, dy, x, context.stream);
    expect_close(y, want_y, product_tolerance(dtype), "y");
    expect_close(dx, want_dx, product_tolerance(dtype), "dx");
    expect_close(dweight, want_dweight, product_tolerance(DType::kF32), "dweight");
  }
}

TEST(PreparedWeight, OffsetsFindEveryElement) {
  CpuContext context;
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    for (auto [out, in] : {std::pair<int64_t, int64_t>{1, 1}, {47, 6}, {48, 7}, {100, 33}}) {
      const Linear layer(context, dtype, out, in);
      const Tensor view(layer.prepared.tensor().raw(), dtype,
                        Shape{layer.prepared.tensor().bytes() / dtype_size(dtype)});
      for (int64_t row = 0; row < out; ++row) {
        for (int64_t col = 0; col < in; ++col) {
          const int64_t offset = prepared_element_offset(dtype, out, in, row, col);
          ASSERT_LT(offset, view.numel());
          const float value = dtype == DType::kF32 ? view.data<float>()[offset]
                                                   : to_float(view.data<bfloat16>()[offset]);
          ASSERT_EQ(value, layer.weight.get(row * in + col));
        }
      }
    }
  }
}

TEST(Matmul, CountsWhatItCosts) {
  CpuContext context;
  CountingStream counting;
  Operands x(context, {3, 5, 7}, DType::kF32, DType::kF32, {});
  matmul(x.c, x.a, x.b, {}, counting);
  const CostSum total = counting.total();
  EXPECT_EQ(total.flops, 2.0 * 3 * 5 * 7);
  EXPECT_EQ(total.bytes_read, 4 * (3 * 7 + 7 * 5));
  EXPECT_EQ(total.bytes_written, 4 * 3 * 5);
}

// Views with gaps, a by rows and by columns; what lies between stays as it was.
TEST(TileGemm, IsTheFmaChainAtEveryIsa) {
  for (CpuIsa isa : available_isas()) {
    const IsaLimit limit(isa);
    const cpu::TileGemm tile = cpu::tile_gemm();
    for (int64_t m : {1, 5, 8, 13, 64}) {
      for (int64_t n : {1, 7, 8, 15, 16, 31, 33, 48, 64, 65, 128}) {
        for (int64_t k : {0, 1, 17, 64}) {
          const bool by_rows = (m + n + k) % 2 == 0;
          const bool accumulate = (m + n) % 3 == 0;
          const int64_t lda = (by_rows ? k : m) + 3, ldb = n + 5, ldc = n + 2;
          const int64_t row_stride = by_rows ? lda : 1, k_stride = by_rows ? 1 : lda;
          std::vector<float> a(static_cast<size_t>((by_rows ? m : k) * lda));
          std::vector<float> b(static_cast<size_t>(k * ldb)), c(static_cast<size_t>(m * ldc));
          const PhiloxKey key{9, 1};
          uint64_t element = 0;
          for (auto* values : {&a, &b, &c}) {
            for (float& value : *values) value = key.uniform(element++) - 0.5f;
          }
          std::vector<float> want = c;
          for (int64_t i = 0; i < m; ++i) {
            for (int64_t j = 0; j < n; ++j) {
              float& sum = want[static_cast<size_t>(i * ldc + j)];
              if (!accumulate) sum = 0.0f;
              for (int64_t p = 0; p < k; ++p) {
                sum = std::fma(a[static_cast<size_t>(i * row_stride + p * k_stride)],
                               b[static_cast<size_t>(p * ldb + j)], sum);
              }
            }
          }
          tile(m, n, k, a.data(), row_stride, k_stride, b.data(), ldb, c.data(), ldc, accumulate);
          ASSERT_EQ(want, c) << cpu_isa_name(isa) << " " << m << "x" << n << "x" << k;
        }
      }
    }
  }
}

}  // namespace
}  // namespace athanor

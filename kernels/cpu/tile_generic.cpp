// The portable tile: the specification of the others. Rows of 16 accumulators, which a compiler
// turns into the vectors it has.
#include <cmath>

#include "kernels/cpu/tile_kernels.h"

namespace athanor::cpu {
namespace {

constexpr int kColumns = 16;

void row_tile(int64_t k, const float* a, int64_t a_k_stride, const float* b, int64_t ldb, float* c,
              bool accumulate) {
  float acc[kColumns] = {};
  if (accumulate) {
    for (int j = 0; j < kColumns; ++j) acc[j] = c[j];
  }
  for (int64_t p = 0; p < k; ++p) {
    const float value = a[p * a_k_stride];
    for (int j = 0; j < kColumns; ++j) acc[j] = std::fma(value, b[p * ldb + j], acc[j]);
  }
  for (int j = 0; j < kColumns; ++j) c[j] = acc[j];
}

void edge_tile(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row_stride,
               int64_t a_k_stride, const float* b, int64_t ldb, float* c, int64_t ldc,
               bool accumulate) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      float acc = accumulate ? c[i * ldc + j] : 0.0f;
      for (int64_t p = 0; p < k; ++p) {
        acc = std::fma(a[i * a_row_stride + p * a_k_stride], b[p * ldb + j], acc);
      }
      c[i * ldc + j] = acc;
    }
  }
}

}  // namespace

void tile_gemm_generic(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row_stride,
                       int64_t a_k_stride, const float* b, int64_t ldb, float* c, int64_t ldc,
                       bool accumulate) {
  const int64_t full_n = n / kColumns * kColumns;
  for (int64_t j = 0; j < full_n; j += kColumns) {
    for (int64_t i = 0; i < m; ++i) {
      row_tile(k, a + i * a_row_stride, a_k_stride, b + j, ldb, c + i * ldc + j, accumulate);
    }
  }
  edge_tile(m, n - full_n, k, a, a_row_stride, a_k_stride, b + full_n, ldb, c + full_n, ldc,
            accumulate);
}

}  // namespace athanor::cpu

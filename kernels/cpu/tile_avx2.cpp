// AVX2 + FMA: register tiles of up to 6 rows by 16 columns (12 accumulators, 2 of b, 1 of a).
#include <immintrin.h>

#include "kernels/cpu/tile_kernels.h"

namespace athanor::cpu {
namespace {

constexpr int kLanes = 8;

// Lanes below `count` on, in the form vmaskmov takes.
inline __m256i lane_mask(int64_t count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes);
}

template <int kR, int kV, bool kFull>
void tile(int64_t k, const float* a, int64_t a_row_stride, int64_t a_k_stride, const float* b,
          int64_t ldb, float* c, int64_t ldc, __m256i last, bool accumulate) {
  const auto load = [&](const float* row, int v) {
    return kFull || v + 1 < kV ? _mm256_loadu_ps(row + v * kLanes)
                               : _mm256_maskload_ps(row + v * kLanes, last);
  };
  __m256 acc[kR][kV];
#pragma GCC unroll 8
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kV; ++v) {
      acc[r][v] = accumulate ? load(c + r * ldc, v) : _mm256_setzero_ps();
    }
  }
  for (int64_t p = 0; p < k; ++p) {
    __m256 columns[kV];
#pragma GCC unroll 8
    for (int v = 0; v < kV; ++v) columns[v] = load(b, v);
#pragma GCC unroll 8
    for (int r = 0; r < kR; ++r) {
      const __m256 value = _mm256_broadcast_ss(a + r * a_row_stride);
#pragma GCC unroll 8
      for (int v = 0; v < kV; ++v) acc[r][v] = _mm256_fmadd_ps(value, columns[v], acc[r][v]);
    }
    a += a_k_stride;
    b += ldb;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kV; ++v) {
      if (kFull || v + 1 < kV) {
        _mm256_storeu_ps(c + r * ldc + v * kLanes, acc[r][v]);
      } else {
        _mm256_maskstore_ps(c + r * ldc + v * kLanes, last, acc[r][v]);
      }
    }
  }
}

template <int kV, bool kFull>
void column_strip(int64_t m, int64_t k, const float* a, int64_t a_row_stride, int64_t a_k_stride,
                  const float* b, int64_t ldb, float* c, int64_t ldc, __m256i last,
                  bool accumulate) {
  int64_t i = 0;
  for (; i + 6 <= m; i += 6) {
    tile<6, kV, kFull>(k, a + i * a_row_stride, a_row_stride, a_k_stride, b, ldb, c + i * ldc, ldc,
                       last, accumulate);
  }
  using Tile = void (*)(int64_t, const float*, int64_t, int64_t, const float*, int64_t, float*,
                        int64_t, __m256i, bool);
  constexpr Tile kEdge[] = {tile<1, kV, kFull>, tile<2, kV, kFull>, tile<3, kV, kFull>,
                            tile<4, kV, kFull>, tile<5, kV, kFull>};
  if (i < m) {
    kEdge[m - i - 1](k, a + i * a_row_stride, a_row_stride, a_k_stride, b, ldb, c + i * ldc, ldc,
                     last, accumulate);
  }
}

// One row by up to 48 columns: the reads of b, which are all the time, follow each other.
template <int kV>
void row_tile(int64_t k, const float* a, const int32_t* b, int64_t ldb, float* c, __m256i last,
              bool accumulate) {
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  __m256 acc[kV];
#pragma GCC unroll 8
  for (int v = 0; v < kV; ++v) {
    acc[v] = !accumulate  ? _mm256_setzero_ps()
             : v + 1 < kV ? _mm256_loadu_ps(c + v * kLanes)
                          : _mm256_maskload_ps(c + v * kLanes, last);
  }
  const auto pairs = [](const int32_t* row, int v) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + v * kLanes));
  };
  const auto add = [&](int v, __m256 value, __m256i widened) {
    acc[v] = _mm256_fmadd_ps(value, _mm256_castsi256_ps(widened), acc[v]);
  };
  for (int64_t p = 0; p + 1 < k; p += 2, b += ldb) {
    const __m256 even = _mm256_broadcast_ss(a + p);
    const __m256 odd = _mm256_broadcast_ss(a + p + 1);
#pragma GCC unroll 8
    for (int v = 0; v < kV; ++v) {
      const __m256i both = pairs(b, v);
      add(v, even, _mm256_slli_epi32(both, 16));
      add(v, odd, _mm256_and_si256(both, upper));
    }
  }
  if (k % 2 != 0) {
#pragma GCC unroll 8
    for (int v = 0; v < kV; ++v) {
      add(v, _mm256_broadcast_ss(a + k - 1), _mm256_slli_epi32(pairs(b, v), 16));
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kV; ++v) {
    if (v + 1 < kV) {
      _mm256_storeu_ps(c + v * kLanes, acc[v]);
    } else {
      _mm256_maskstore_ps(c + v * kLanes, last, acc[v]);
    }
  }
}

}  // namespace

void row_times_pairs_avx2(int64_t n, int64_t k, const float* a, const void* b, int64_t ldb,
                          float* c, bool accumulate) {
  using Tile = void (*)(int64_t, const float*, const int32_t*, int64_t, float*, __m256i, bool);
  constexpr Tile kTiles[] = {row_tile<1>, row_tile<2>, row_tile<3>,
                             row_tile<4>, row_tile<5>, row_tile<6>};
  for (int64_t j = 0; j < n; j += 6 * kLanes) {
    const int64_t vectors = n - j >= 6 * kLanes ? 6 : (n - j + kLanes - 1) / kLanes;
    const int64_t in_last = n - j - (vectors - 1) * kLanes;
    kTiles[vectors - 1](k, a, static_cast<const int32_t*>(b) + j, ldb, c + j,
                        lane_mask(in_last < kLanes ? in_last : kLanes), accumulate);
  }
}

void tile_gemm_avx2(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row_stride,
                    int64_t a_k_stride, const float* b, int64_t ldb, float* c, int64_t ldc,
                    bool accumulate) {
  int64_t j = 0;
  // A single row is bound by reading b: whole panels, in order.
  for (; m == 1 && j + 6 * kLanes <= n; j += 6 * kLanes) {
    tile<1, 6, true>(k, a, a_row_stride, a_k_stride, b + j, ldb, c + j, ldc, lane_mask(8),
                     accumulate);
  }
  for (; j + 2 * kLanes <= n; j += 2 * kLanes) {
    column_strip<2, true>(m, k, a, a_row_stride, a_k_stride, b + j, ldb, c + j, ldc, lane_mask(8),
                          accumulate);
  }
  const int64_t rest = n - j;
  if (rest > kLanes) {
    column_strip<2, false>(m, k, a, a_row_stride, a_k_stride, b + j, ldb, c + j, ldc,
                           lane_mask(rest - kLanes), accumulate);
  } else if (rest > 0) {
    column_strip<1, false>(m, k, a, a_row_stride, a_k_stride, b + j, ldb, c + j, ldc,
                           lane_mask(rest), accumulate);
  }
}

}  // namespace athanor::cpu

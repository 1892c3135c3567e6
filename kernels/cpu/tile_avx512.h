// The AVX-512 tile shared by float32 and bfloat16 pairs: up to 8 rows by 48 columns in 24
// accumulators, 3 registers of b, 1 of a. Included by the two files that are compiled for
// AVX-512; everything is in an unnamed namespace, so that nothing leaks to other files.
//
// Multiply: struct { using Vector = ...; load(const Word*, mask), broadcast(const Word*),
//                    multiply_add(a, b, acc) } over four-byte words.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace athanor::cpu {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kTileRows = 8;
constexpr int64_t kTileVectors = 3;

template <class Word>
struct Operands {
  int64_t k;
  const Word* a;
  int64_t a_row_stride;
  int64_t a_k_stride;
  const Word* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
  __mmask16 last;  // lanes of the last vector of columns that exist
  bool accumulate;
};

template <class Multiply, int kR, int kV>
void tile(const Operands<typename Multiply::Word>& x) {
  using Word = typename Multiply::Word;
  __m512 acc[kR][kV];
#pragma GCC unroll 16
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kV; ++v) {
      const __mmask16 mask = v + 1 < kV ? static_cast<__mmask16>(0xffff) : x.last;
      acc[r][v] = x.accumulate ? _mm512_maskz_loadu_ps(mask, x.c + r * x.ldc + v * kLanes)
                               : _mm512_setzero_ps();
    }
  }
  // The tile to the right is usually next, and its rows lie far apart for the prefetcher. Asking
  // for lines that do not exist is harmless.
#pragma GCC unroll 16
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kV; ++v) {
      _mm_prefetch(reinterpret_cast<const char*>(x.c + r * x.ldc + (kTileVectors + v) * kLanes),
                   _MM_HINT_T0);
    }
  }
  const Word* a = x.a;
  const Word* b = x.b;
  const int64_t a_row_stride = x.a_row_stride;
  const int64_t a_k_stride = x.a_k_stride;
  const int64_t ldb = x.ldb;
  const __mmask16 last = x.last;
  for (int64_t p = x.k; p > 0; --p) {
    typename Multiply::Vector columns[kV];
#pragma GCC unroll 8
    for (int v = 0; v < kV; ++v) {
      columns[v] =
          v + 1 < kV ? Multiply::load(b + v * kLanes) : Multiply::load_masked(b + v * kLanes, last);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kR; ++r) {
      const typename Multiply::Vector value = Multiply::broadcast(a + r * a_row_stride);
#pragma GCC unroll 8
      for (int v = 0; v < kV; ++v) {
        acc[r][v] = Multiply::multiply_add(value, columns[v], acc[r][v]);
      }
    }
    a += a_k_stride;
    b += ldb;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kV; ++v) {
      float* to = x.c + r * x.ldc + v * kLanes;
      if (v + 1 < kV || x.last == 0xffff) {
        _mm512_storeu_ps(to, acc[r][v]);
      } else {
        _mm512_mask_storeu_ps(to, x.last, acc[r][v]);
      }
    }
  }
}

template <class Multiply, int kV>
void column_strip(int64_t m, Operands<typename Multiply::Word> x) {
  // One vector of columns alone takes twice the rows to hide the latency of the multiply-add.
  if constexpr (kV == 1) {
    for (; m >= 2 * kTileRows; m -= 2 * kTileRows) {
      tile<Multiply, 2 * kTileRows, kV>(x);
      x.a += 2 * kTileRows * x.a_row_stride;
      x.c += 2 * kTileRows * x.ldc;
    }
  }
  for (; m >= kTileRows; m -= kTileRows) {
    tile<Multiply, kTileRows, kV>(x);
    x.a += kTileRows * x.a_row_stride;
    x.c += kTileRows * x.ldc;
  }
  using Tile = void (*)(const Operands<typename Multiply::Word>&);
  constexpr Tile kEdge[] = {tile<Multiply, 1, kV>, tile<Multiply, 2, kV>, tile<Multiply, 3, kV>,
                            tile<Multiply, 4, kV>, tile<Multiply, 5, kV>, tile<Multiply, 6, kV>,
                            tile<Multiply, 7, kV>};
  if (m > 0) kEdge[m - 1](x);
}

template <class Multiply>
void tile_product(int64_t m, int64_t n, Operands<typename Multiply::Word> x) {
  for (int64_t left = n; left > 0; left -= kTileVectors * kLanes) {
    const int64_t vectors = left > 2 * kLanes ? 3 : left > kLanes ? 2 : 1;
    const int64_t lanes = left - (vectors - 1) * kLanes;
    x.last = static_cast<__mmask16>(lanes >= kLanes ? 0xffff : (1 << lanes) - 1);
    if (vectors == 3) {
      column_strip<Multiply, 3>(m, x);
    } else if (vectors == 2) {
      column_strip<Multiply, 2>(m, x);
    } else {
      column_strip<Multiply, 1>(m, x);
    }
    x.b += kTileVectors * kLanes;
    x.c += kTileVectors * kLanes;
  }
}

}  // namespace
}  // namespace athanor::cpu

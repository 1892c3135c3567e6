// The table of tile kernels, one line per instruction set. Each is compiled in a file of its own
// with that instruction set's flags; such files include little, so that no shared inline function
// is ever compiled for a CPU wider than the one that runs it.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/tile_gemm.h"

namespace athanor::cpu {

// As TileGemm, over bfloat16 pairs: element p of a or b is the pair (2p, 2p+1) of k, four bytes at
// any alignment, and strides and ldb count pairs. acc = vdpbf16ps(acc, a pair, b pair).
using TileGemmBf16 = void (*)(int64_t m, int64_t n, int64_t pairs, const void* a,
                              int64_t a_row_stride, int64_t a_k_stride, const void* b, int64_t ldb,
                              float* c, int64_t ldc, bool accumulate);

// One row times bfloat16 pairs that are widened in registers: the same chain of float32 as TileGemm
// with that row, c[j] = sum_p a[p] * b[p/2][j][p%2] (+ c[j]).
//   a: [k] f32   b: [ceil(k / 2)] rows of ldb pairs, whole vectors of eight of which can be read
using RowTimesPairs = void (*)(int64_t n, int64_t k, const float* a, const void* b, int64_t ldb,
                               float* c, bool accumulate);

struct TileKernels {
  int64_t rows;  // rows of c that one register tile holds
  TileGemm f32;
  TileGemmBf16 bf16;  // null: bfloat16 is widened to float32
  RowTimesPairs row;  // null: as any other number of rows
};

// The kernels for the instruction set in use, and for a given one.
TileKernels tile_kernels();
TileKernels tile_kernels_for(CpuIsa isa);

void tile_gemm_generic(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row_stride,
                       int64_t a_k_stride, const float* b, int64_t ldb, float* c, int64_t ldc,
                       bool accumulate);
void tile_gemm_avx2(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row_stride,
                    int64_t a_k_stride, const float* b, int64_t ldb, float* c, int64_t ldc,
                    bool accumulate);
void row_times_pairs_avx2(int64_t n, int64_t k, const float* a, const void* b, int64_t ldb,
                          float* c, bool accumulate);
void tile_gemm_avx512(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row_stride,
                      int64_t a_k_stride, const float* b, int64_t ldb, float* c, int64_t ldc,
                      bool accumulate);
void tile_gemm_avx512_bf16(int64_t m, int64_t n, int64_t pairs, const void* a, int64_t a_row_stride,
                           int64_t a_k_stride, const void* b, int64_t ldb, float* c, int64_t ldc,
                           bool accumulate);

}  // namespace athanor::cpu

// A small matrix product on memory near the core, for kernels that work tile by tile (flash
// attention, cross-entropy) and for the blocks of kernels/matmul.
#pragma once

#include <cstdint>

namespace athanor::cpu {

// c[i,j] = sum_p a[i * a_row_stride + p * a_k_stride] * b[p * ldb + j]   (+ c[i,j] with accumulate)
//   c: [m, n] f32, rows ldc apart   b: [k, n] f32, rows ldb apart   strides in elements
// Each element is one chain acc = fma(a, b, acc) over p ascending from 0 (accumulate: from c), so
// cutting k into calls with accumulate, or m and n in any way, leaves the bits alone; so does the
// instruction set. Any m, n, k >= 0; memory outside the three views is neither read nor written.
using TileGemm = void (*)(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row_stride,
                          int64_t a_k_stride, const float* b, int64_t ldb, float* c, int64_t ldc,
                          bool accumulate);

// The kernel for the instruction set in use (kernels/cpu/isa.h); take it once per operation.
TileGemm tile_gemm();

}  // namespace athanor::cpu

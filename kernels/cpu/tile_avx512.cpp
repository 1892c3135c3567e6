// AVX-512 tiles in float32.
#include "kernels/cpu/tile_avx512.h"
#include "kernels/cpu/tile_kernels.h"

namespace athanor::cpu {
namespace {

struct MultiplyF32 {
  using Word = float;
  using Vector = __m512;
  static Vector load(const Word* from) { return _mm512_loadu_ps(from); }
  static Vector load_masked(const Word* from, __mmask16 mask) {
    return _mm512_maskz_loadu_ps(mask, from);
  }
  static Vector broadcast(const Word* from) { return _mm512_set1_ps(*from); }
  static __m512 multiply_add(Vector a, Vector b, __m512 acc) { return _mm512_fmadd_ps(a, b, acc); }
};

}  // namespace

void tile_gemm_avx512(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row_stride,
                      int64_t a_k_stride, const float* b, int64_t ldb, float* c, int64_t ldc,
                      bool accumulate) {
  tile_product<MultiplyF32>(
      m, n, {k, a, a_row_stride, a_k_stride, b, ldb, c, ldc, __mmask16{}, accumulate});
}

}  // namespace athanor::cpu

// AVX-512 tiles over bfloat16 pairs by vdpbf16ps, which treats denormals as zero.
#include "kernels/cpu/tile_avx512.h"
#include "kernels/cpu/tile_kernels.h"

namespace athanor::cpu {
namespace {

// Four bytes of any type and alignment.
struct Pair {
  unsigned char bytes[4];
};

struct MultiplyPairs {
  using Word = Pair;
  using Vector = __m512i;
  static Vector load(const Word* from) { return _mm512_loadu_si512(from); }
  static Vector load_masked(const Word* from, __mmask16 mask) {
    return _mm512_maskz_loadu_epi32(mask, from);
  }
  static Vector broadcast(const Word* from) {
    int value;
    __builtin_memcpy(&value, from->bytes, sizeof(value));
    return _mm512_set1_epi32(value);
  }
  static __m512 multiply_add(Vector a, Vector b, __m512 acc) {
    return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b);
  }
};

}  // namespace

void tile_gemm_avx512_bf16(int64_t m, int64_t n, int64_t pairs, const void* a, int64_t a_row_stride,
                           int64_t a_k_stride, const void* b, int64_t ldb, float* c, int64_t ldc,
                           bool accumulate) {
  tile_product<MultiplyPairs>(m, n,
                              {pairs, static_cast<const Pair*>(a), a_row_stride, a_k_stride,
                               static_cast<const Pair*>(b), ldb, c, ldc, __mmask16{}, accumulate});
}

}  // namespace athanor::cpu

// AVX2, which every supported x86-64 CPU has. Per 16 elements a conversion is bound by its stores,
// where what compilers make of the loops of convert_generic.cpp is bound by shifts and blends. The
// bits are those of to_float and to_bfloat16.
#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/convert.h"

namespace athanor::cpu {
namespace {

constexpr int64_t kStep = 16;

struct Two {
  __m256 low, high;
};

inline __m256i load_words(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

// A bfloat16 is the upper half of its float: interleave with zeros below.
inline Two widen(__m256i halves) {
  const __m256i ordered = _mm256_permute4x64_epi64(halves, 0xd8);
  const __m256i zero = _mm256_setzero_si256();
  return {_mm256_castsi256_ps(_mm256_unpacklo_epi16(zero, ordered)),
          _mm256_castsi256_ps(_mm256_unpackhi_epi16(zero, ordered))};
}

inline __m256i rounded(__m256 value) {
  const __m256i bits = _mm256_castps_si256(value);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
  return _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
}

// Returns false, with nothing stored, where there is a NaN.
inline bool store_rounded(bfloat16* to, Two x) {
  if (_mm256_movemask_ps(_mm256_cmp_ps(x.low, x.high, _CMP_UNORD_Q)) != 0) return false;
  const __m256i packed = _mm256_packus_epi32(rounded(x.low), rounded(x.high));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute4x64_epi64(packed, 0xd8));
  return true;
}

}  // namespace

void widen_row(float* to, const bfloat16* from, int64_t n) {
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    const Two x = widen(load_words(from + i));
    _mm256_storeu_ps(to + i, x.low);
    _mm256_storeu_ps(to + i + 8, x.high);
  }
  for (; i < n; ++i) to[i] = to_float(from[i]);
}

void widen_pairs(float* even, float* odd, const void* from, int64_t n) {
  const auto* const pairs = static_cast<const unsigned char*>(from);
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i x = load_words(pairs + i * 4);
    _mm256_storeu_ps(even + i, _mm256_castsi256_ps(_mm256_slli_epi32(x, 16)));
    if (odd != nullptr) {
      _mm256_storeu_ps(odd + i, _mm256_castsi256_ps(_mm256_and_si256(x, upper)));
    }
  }
  for (; i < n; ++i) {
    bfloat16 pair[2];
    std::memcpy(pair, pairs + i * 4, sizeof(pair));
    even[i] = to_float(pair[0]);
    if (odd != nullptr) odd[i] = to_float(pair[1]);
  }
}

void round_row(bfloat16* to, const float* from, int64_t n) {
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    if (store_rounded(to + i, {_mm256_loadu_ps(from + i), _mm256_loadu_ps(from + i + 8)})) continue;
    for (int64_t j = i; j < i + kStep; ++j) to[j] = to_bfloat16(from[j]);
  }
  for (; i < n; ++i) to[i] = to_bfloat16(from[i]);
}

void add_round_row(bfloat16* to, const float* from, int64_t n) {
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    const Two old = widen(load_words(to + i));
    const Two sum{_mm256_add_ps(_mm256_loadu_ps(from + i), old.low),
                  _mm256_add_ps(_mm256_loadu_ps(from + i + 8), old.high)};
    if (store_rounded(to + i, sum)) continue;
    for (int64_t j = i; j < i + kStep; ++j) to[j] = to_bfloat16(from[j] + to_float(to[j]));
  }
  for (; i < n; ++i) to[i] = to_bfloat16(from[i] + to_float(to[i]));
}

}  // namespace athanor::cpu

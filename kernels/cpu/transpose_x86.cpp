// Transposes with AVX2, the baseline of x86 builds: 8 x 8 words, 4 x 4 double words.
#include "kernels/cpu/transpose.h"

#include <immintrin.h>

#include <cstddef>
#include <cstring>

namespace athanor::cpu {
namespace {

using Byte = unsigned char;

void transpose_8x8(Byte* to, int64_t to_bytes, const Byte* from, int64_t row_bytes) {
  __m256 r[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    r[i] = _mm256_castsi256_ps(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i * row_bytes)));
  }
  __m256 pairs[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    pairs[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    pairs[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  __m256 quads[8];
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    const __m256* p = pairs + 4 * i;
    quads[4 * i] = _mm256_shuffle_ps(p[0], p[2], 0x44);
    quads[4 * i + 1] = _mm256_shuffle_ps(p[0], p[2], 0xee);
    quads[4 * i + 2] = _mm256_shuffle_ps(p[1], p[3], 0x44);
    quads[4 * i + 3] = _mm256_shuffle_ps(p[1], p[3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m256 low = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20);
    const __m256 high = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i * to_bytes), _mm256_castps_si256(low));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + (i + 4) * to_bytes),
                        _mm256_castps_si256(high));
  }
}

// Four rows of four 2 x 2 blocks (a b / c d as a c b d in memory become a b c d).
void transpose_blocks_4x4(Byte* to, int64_t to_bytes, const Byte* from, int64_t row_bytes) {
  const __m256i swap = _mm256_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15, 0, 1,
                                        4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
  __m256i r[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_shuffle_epi8(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i * row_bytes)), swap);
  }
  const __m256i even01 = _mm256_unpacklo_epi64(r[0], r[1]);
  const __m256i odd01 = _mm256_unpackhi_epi64(r[0], r[1]);
  const __m256i even23 = _mm256_unpacklo_epi64(r[2], r[3]);
  const __m256i odd23 = _mm256_unpackhi_epi64(r[2], r[3]);
  const auto store = [&](int row, __m256i value) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + row * to_bytes), value);
  };
  store(0, _mm256_permute2x128_si256(even01, even23, 0x20));
  store(1, _mm256_permute2x128_si256(odd01, odd23, 0x20));
  store(2, _mm256_permute2x128_si256(even01, even23, 0x31));
  store(3, _mm256_permute2x128_si256(odd01, odd23, 0x31));
}

void copy_8(Byte* to, const Byte* from) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

// Asks for `bytes` at `from`, which may lie behind the operand's end. Rows a long stride apart are
// too short for the hardware to foresee.
void prefetch(const Byte* from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(from + i), _MM_HINT_T0);
  }
}

constexpr int64_t kRowsAhead = 6;

void interleave_16(Byte* to, const Byte* first, const Byte* second) {
  const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first));
  const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(second));
  const __m256i low = _mm256_unpacklo_epi16(a, b);
  const __m256i high = _mm256_unpackhi_epi16(a, b);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 32),
                      _mm256_permute2x128_si256(low, high, 0x31));
}

void interleave_8(Byte* to, const Byte* first, const Byte* second) {
  const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(first));
  const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(second));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_unpacklo_epi16(a, b));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 16), _mm_unpackhi_epi16(a, b));
}

}  // namespace

void transpose_words(void* to, int64_t ld_to, const void* from, int64_t row_bytes, int64_t rows,
                     int64_t words) {
  Byte* const target = static_cast<Byte*>(to);
  const Byte* const source = static_cast<const Byte*>(from);
  const auto words_one_by_one = [&](int64_t row_begin, int64_t row_end, int64_t word_begin) {
    for (int64_t i = row_begin; i < row_end; ++i) {
      for (int64_t j = word_begin; j < words; ++j) {
        std::memcpy(target + (j * ld_to + i) * 4, source + i * row_bytes + j * 4, 4);
      }
    }
  };
  const int64_t full_words = words / 8 * 8;
  int64_t i = 0;
  for (; i + 8 <= rows; i += 8) {
    for (int64_t j = 0; j < full_words; j += 8) {
      transpose_8x8(target + (j * ld_to + i) * 4, ld_to * 4, source + i * row_bytes + j * 4,
                    row_bytes);
    }
    words_one_by_one(i, i + 8, full_words);
  }
  words_one_by_one(i, rows, 0);
}

void transpose_pairs(void* to, int64_t ld_to, const void* from, int64_t ld_from, int64_t row_pairs,
                     int64_t columns) {
  Byte* const target = static_cast<Byte*>(to);
  const Byte* const source = static_cast<const Byte*>(from);
  const auto block = [&](int64_t row_pair, int64_t q) {
    uint16_t in[4];
    std::memcpy(in, source + (row_pair * ld_from + 2 * q) * 4, sizeof(in));
    const uint16_t out[4] = {in[0], in[2], in[1], in[3]};
    std::memcpy(target + (q * ld_to + 2 * row_pair) * 4, out, sizeof(out));
  };
  const int64_t blocks = columns / 2;
  const int64_t full_rows = row_pairs / 4 * 4;
  const int64_t full_blocks = blocks / 4 * 4;
  for (int64_t i = 0; i < full_rows; i += 4) {
    for (int64_t q = 0; q < full_blocks; q += 4) {
      transpose_blocks_4x4(target + (q * ld_to + 2 * i) * 4, ld_to * 4,
                           source + (i * ld_from + 2 * q) * 4, ld_from * 4);
    }
    for (int64_t row = i; row < i + 4; ++row) {
      for (int64_t q = full_blocks; q < blocks; ++q) block(row, q);
    }
  }
  for (int64_t row = full_rows; row < row_pairs; ++row) {
    for (int64_t q = 0; q < blocks; ++q) block(row, q);
  }
}

void rows_to_panels(void* to, int64_t width, int64_t panel_words, const void* from,
                    int64_t row_bytes, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row) {
    Byte* target = static_cast<Byte*>(to) + row * width * 4;
    const Byte* source = static_cast<const Byte*>(from) + row * row_bytes;
    prefetch(source + kRowsAhead * row_bytes, columns * 4);
    for (int64_t begin = 0; begin < columns; begin += width) {
      const int64_t count = columns - begin < width ? columns - begin : width;
      int64_t c = 0;
      for (; c + 8 <= count; c += 8) copy_8(target + c * 4, source + (begin + c) * 4);
      for (; c < count; ++c) std::memcpy(target + c * 4, source + (begin + c) * 4, 4);
      target += panel_words * 4;
    }
  }
}

void pair_rows_to_panels(void* to, int64_t width, int64_t panel_words, const void* from,
                         int64_t row_bytes, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; row += 2) {
    Byte* target = static_cast<Byte*>(to) + row / 2 * width * 4;
    const Byte* first = static_cast<const Byte*>(from) + row * row_bytes;
    const bool has_second = row + 1 < rows;
    const Byte* second = has_second ? first + row_bytes : first;
    prefetch(first + kRowsAhead * row_bytes, columns * 2);
    prefetch(second + kRowsAhead * row_bytes, columns * 2);
    for (int64_t begin = 0; begin < columns; begin += width) {
      const int64_t count = columns - begin < width ? columns - begin : width;
      const Byte* a = first + begin * 2;
      const Byte* b = second + begin * 2;
      int64_t c = 0;
      if (has_second) {
        for (; c + 16 <= count; c += 16) interleave_16(target + c * 4, a + c * 2, b + c * 2);
        for (; c + 8 <= count; c += 8) interleave_8(target + c * 4, a + c * 2, b + c * 2);
      }
      for (; c < count; ++c) {
        uint16_t pair[2] = {0, 0};
        std::memcpy(&pair[0], a + c * 2, 2);
        if (has_second) std::memcpy(&pair[1], b + c * 2, 2);
        std::memcpy(target + c * 4, pair, 4);
      }
      target += panel_words * 4;
    }
  }
}

}  // namespace athanor::cpu

// Transposes in plain C++: the specification of transpose_x86.cpp.
#include "kernels/cpu/transpose.h"

#include <cstring>

namespace athanor::cpu {

void transpose_words(void* to, int64_t ld_to, const void* from, int64_t row_bytes, int64_t rows,
                     int64_t words) {
  unsigned char* const target = static_cast<unsigned char*>(to);
  const unsigned char* const source = static_cast<const unsigned char*>(from);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < words; ++j) {
      std::memcpy(target + (j * ld_to + i) * 4, source + i * row_bytes + j * 4, 4);
    }
  }
}

void transpose_pairs(void* to, int64_t ld_to, const void* from, int64_t ld_from, int64_t row_pairs,
                     int64_t columns) {
  unsigned char* const target = static_cast<unsigned char*>(to);
  const unsigned char* const source = static_cast<const unsigned char*>(from);
  for (int64_t row = 0; row < row_pairs; ++row) {
    for (int64_t q = 0; q < columns / 2; ++q) {
      uint16_t in[4];
      std::memcpy(in, source + (row * ld_from + 2 * q) * 4, sizeof(in));
      const uint16_t out[4] = {in[0], in[2], in[1], in[3]};
      std::memcpy(target + (q * ld_to + 2 * row) * 4, out, sizeof(out));
    }
  }
}

void rows_to_panels(void* to, int64_t width, int64_t panel_words, const void* from,
                    int64_t row_bytes, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row) {
    unsigned char* const target = static_cast<unsigned char*>(to) + row * width * 4;
    const unsigned char* const source = static_cast<const unsigned char*>(from) + row * row_bytes;
    for (int64_t begin = 0; begin < columns; begin += width) {
      const int64_t count = columns - begin < width ? columns - begin : width;
      std::memcpy(target + begin / width * panel_words * 4, source + begin * 4,
                  static_cast<size_t>(count * 4));
    }
  }
}

void pair_rows_to_panels(void* to, int64_t width, int64_t panel_words, const void* from,
                         int64_t row_bytes, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; row += 2) {
    unsigned char* const target = static_cast<unsigned char*>(to) + row / 2 * width * 4;
    const unsigned char* const source = static_cast<const unsigned char*>(from) + row * row_bytes;
    for (int64_t c = 0; c < columns; ++c) {
      uint16_t pair[2] = {0, 0};
      std::memcpy(&pair[0], source + c * 2, 2);
      if (row + 1 < rows) std::memcpy(&pair[1], source + row_bytes + c * 2, 2);
      std::memcpy(target + (c / width * panel_words + c % width) * 4, pair, 4);
    }
  }
}

}  // namespace athanor::cpu

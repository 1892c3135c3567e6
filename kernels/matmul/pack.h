// Blocks of the operands in the order in which the tiles read them. The unit is the word: four
// bytes, one float or one pair of bfloat16 along k.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace athanor::cpu {

enum class BForm {
  kRows,                // b is [K, N]
  kColumns,             // b is [N, K]
  kPrepared,            // b is the prepared form of [N, K]
  kPreparedTransposed,  // b is the prepared form of [K, N]
};

// An operand and how its k turns into words: widened bfloat16 counts one word per element.
struct Operand {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  bool widen = false;
  int64_t extent = 0;  // M of a, N of b
  int64_t k = 0;

  bool pairs() const { return dtype == DType::kBF16 && !widen; }
  int64_t words() const { return pairs() ? (k + 1) / 2 : k; }
};

// Columns [column, column + columns) and words [word, word + words) of b, as panels (prepared.h)
// of `words` rows. column is a multiple of kPanelColumns; panel p starts at word offset
// p * kPanelColumns * words.
void pack_b(void* panels, const Operand& b, BForm form, int64_t column, int64_t columns,
            int64_t word, int64_t words);

// Distance of panels of a: a cache line more than they hold, so that their starts do not share a
// cache set.
constexpr int64_t a_panel_words(int64_t panel_rows, int64_t words) {
  return panel_rows * words + 16;
}

// Rows [row, row + rows) and words [word, word + words) of a:
//   a is [M, K]: [rows][words]
//   a is [K, M] (transposed): panels of `panel_rows` rows, [words][panel_rows] each
void pack_a(void* to, const Operand& a, bool transposed, int64_t panel_rows, int64_t row,
            int64_t rows, int64_t word, int64_t words);

}  // namespace athanor::cpu

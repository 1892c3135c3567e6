// Packing of float words and bfloat16 pairs by transposes and interleaves. CPUs without bfloat16
// widen the packed pairs.
#include "kernels/matmul/pack.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/transpose.h"
#include "kernels/matmul/prepared.h"

namespace athanor::cpu {
namespace {

constexpr int64_t kWord = 4;

// Words [.., columns) of each row of a panel are zero.
void zero_padding(std::byte* panel, int64_t width, int64_t columns, int64_t words) {
  if (columns == width) return;
  for (int64_t word = 0; word < words; ++word) {
    std::memset(panel + (word * width + columns) * kWord, 0,
                static_cast<size_t>((width - columns) * kWord));
  }
}

// The first `words` words along k of rows of bfloat16 [rows, k], the last one maybe half.
void transpose_pair_rows(std::byte* to, int64_t ld_to, const bfloat16* from, int64_t k,
                         int64_t rows, int64_t k_left, int64_t words) {
  const int64_t full = std::min(words, k_left / 2);
  transpose_words(to, ld_to, from, k * 2, rows, full);
  if (full == words) return;
  for (int64_t row = 0; row < rows; ++row) {
    const bfloat16 pair[2] = {from[row * k + 2 * full], bfloat16{}};
    std::memcpy(to + (full * ld_to + row) * kWord, pair, sizeof(pair));
  }
}

// One panel from the prepared form of [K, N]: k runs along the columns of its panels.
void transpose_prepared(std::byte* to, int64_t width, const Operand& b, int64_t column,
                        int64_t columns, int64_t word, int64_t words) {
  const int64_t per_word = b.pairs() ? 2 : 1;
  const int64_t in_words = b.pairs() ? (b.extent + 1) / 2 : b.extent;
  const auto* data = static_cast<const std::byte*>(b.data);
  for (int64_t done = 0; done < words;) {
    const int64_t k = (word + done) * per_word;
    const int64_t begin = k / kPanelColumns * kPanelColumns;
    const int64_t source_width = panel_width(b.k, begin);
    const int64_t count = std::min(words - done, (begin + source_width - k) / per_word);
    const std::byte* panel = data + begin * in_words * kWord;
    if (b.pairs()) {
      transpose_pairs(to + done * width * kWord, width,
                      panel + (column / 2 * source_width + k - begin) * kWord, source_width,
                      (columns + 1) / 2, 2 * count);
    } else {
      transpose_words(to + done * width * kWord, width,
                      panel + (column * source_width + k - begin) * kWord, source_width * kWord,
                      columns, count);
    }
    done += count;
  }
}

void pack_panel(std::byte* to, int64_t width, const Operand& b, BForm form, int64_t column,
                int64_t columns, int64_t word, int64_t words) {
  const auto* f32 = static_cast<const float*>(b.data);
  const auto* bf16 = static_cast<const bfloat16*>(b.data);
  const int64_t first = 2 * word;  // element of k, when words are pairs
  switch (form) {
    case BForm::kRows:
      ATHANOR_CHECK(false, "rows are packed across panels");
      break;
    case BForm::kColumns:
      if (b.pairs()) {
        transpose_pair_rows(to, width, bf16 + column * b.k + first, b.k, columns, b.k - first,
                            words);
      } else {
        transpose_words(to, width, f32 + column * b.k + word, b.k * kWord, columns, words);
      }
      break;
    case BForm::kPrepared:
      ATHANOR_CHECK(false, "prepared panels are read in place");
      break;
    case BForm::kPreparedTransposed:
      transpose_prepared(to, width, b, column, columns, word, words);
      if (b.pairs()) columns += columns % 2;  // the pair's other half is padding already
      break;
  }
  zero_padding(to, width, columns, words);
}

// Pairs, `width` to a row, to `words` rows of floats.
void widen_pair_rows(float* to, int64_t width, const std::byte* pairs, int64_t words) {
  for (int64_t k = 0; k < words; k += 2) {
    float* const even = to + k * width;
    widen_pairs(even, k + 1 < words ? even + width : nullptr, pairs + k / 2 * width * kWord, width);
  }
}

// word is even. Where b has to be transposed, its pairs are packed into the second half of the
// panel and widened from there: a row of pairs is read no later than its place is written.
void widen_panel(float* to, int64_t width, const Operand& b, BForm form, int64_t column,
                 int64_t columns, int64_t word, int64_t words) {
  const auto* data = static_cast<const std::byte*>(b.data);
  if (form == BForm::kRows) {
    for (int64_t k = 0; k < words; ++k) {
      widen_row(to + k * width,
                reinterpret_cast<const bfloat16*>(data) + (word + k) * b.extent + column, columns);
    }
    zero_padding(reinterpret_cast<std::byte*>(to), width, columns, words);
  } else if (form == BForm::kPrepared) {
    widen_pair_rows(to, width, data + (column * ((b.k + 1) / 2) + word / 2 * width) * kWord, words);
  } else {
    Operand as_pairs = b;
    as_pairs.widen = false;
    const int64_t pairs = (words + 1) / 2;
    auto* const half = reinterpret_cast<std::byte*>(to + (words - pairs) * width);
    pack_panel(half, width, as_pairs, form, column, columns, word / 2, pairs);
    widen_pair_rows(to, width, half, words);
  }
}

// Part of an operand stored as [K, extent], in whole rows for the sake of the prefetcher.
void rows_to_panels_of(void* to, int64_t width, int64_t panel_words, const Operand& x,
                       int64_t column, int64_t columns, int64_t word, int64_t words) {
  const auto* data = static_cast<const std::byte*>(x.data);
  if (x.pairs()) {
    pair_rows_to_panels(to, width, panel_words, data + (2 * word * x.extent + column) * 2,
                        x.extent * 2, std::min(2 * words, x.k - 2 * word), columns);
  } else {
    rows_to_panels(to, width, panel_words, data + (word * x.extent + column) * kWord,
                   x.extent * kWord, words, columns);
  }
}

void pack_rows(std::byte* to, const Operand& b, int64_t column, int64_t columns, int64_t word,
               int64_t words) {
  const int64_t full = columns / kPanelColumns * kPanelColumns;
  rows_to_panels_of(to, kPanelColumns, kPanelColumns * words, b, column, full, word, words);
  if (full == columns) return;
  std::byte* const last = to + full * words * kWord;
  const int64_t width = panel_width(b.extent, column + full);
  rows_to_panels_of(last, width, 0, b, column + full, columns - full, word, words);
  zero_padding(last, width, columns - full, words);
}

}  // namespace

void pack_b(void* panels, const Operand& b, BForm form, int64_t column, int64_t columns,
            int64_t word, int64_t words) {
  auto* const to = static_cast<std::byte*>(panels);
  if (form == BForm::kRows && !b.widen) {
    pack_rows(to, b, column, columns, word, words);
    return;
  }
  for (int64_t done = 0; done < columns; done += kPanelColumns) {
    const int64_t begin = column + done;
    const int64_t width = panel_width(b.extent, begin);
    const int64_t count = std::min(columns - done, kPanelColumns);
    std::byte* panel = to + done * words * kWord;
    if (b.widen) {
      widen_panel(reinterpret_cast<float*>(panel), width, b, form, begin, count, word, words);
    } else {
      pack_panel(panel, width, b, form, begin, count, word, words);
    }
  }
}

void pack_a(void* to, const Operand& a, bool transposed, int64_t panel_rows, int64_t row,
            int64_t rows, int64_t word, int64_t words) {
  const auto* bf16 = static_cast<const bfloat16*>(a.data);
  const int64_t panel_words = a_panel_words(panel_rows, words);
  if (transposed && !a.widen) {
    rows_to_panels_of(to, panel_rows, panel_words, a, row, rows, word, words);
  } else if (transposed) {
    for (int64_t k = 0; k < words; ++k) {
      for (int64_t r = 0; r < rows; r += panel_rows) {
        widen_row(static_cast<float*>(to) + r / panel_rows * panel_words + k * panel_rows,
                  bf16 + (word + k) * a.extent + row + r, std::min(panel_rows, rows - r));
      }
    }
  } else {
    for (int64_t r = 0; r < rows; ++r) {
      std::byte* target = static_cast<std::byte*>(to) + r * words * kWord;
      if (a.widen) {
        widen_row(reinterpret_cast<float*>(target), bf16 + (row + r) * a.k + word, words);
      } else {  // pairs of an odd k: the last one ends in a zero
        const int64_t count = std::min(2 * words, a.k - 2 * word);
        std::memcpy(target, bf16 + (row + r) * a.k + 2 * word, static_cast<size_t>(count * 2));
        if (count < 2 * words) std::memset(target + count * 2, 0, 2);
      }
    }
  }
}

}  // namespace athanor::cpu

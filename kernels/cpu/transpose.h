// Transposes of four- and eight-byte units, as packing for a matrix product needs them.
#pragma once

#include <cstdint>

namespace athanor::cpu {

// to[j * ld_to + i] = word i's row, word j:   i in [0, rows), j in [0, words)
//   from: `rows` rows of four-byte words, row_bytes apart, any alignment; ld_to in words
void transpose_words(void* to, int64_t ld_to, const void* from, int64_t row_bytes, int64_t rows,
                     int64_t words);

// Two-byte elements, transposed as 2 x 2 blocks: with source element (row, 2q + h) at
// from[row/2][q][h][row%2], i.e. pairs along rows, writes pairs along columns,
// to[q][row][h] = from element (row, 2q + h).
//   from: `row_pairs` rows of `columns` two-element words, ld_from words apart; columns even
//   to: columns/2 rows of 2*row_pairs two-element words, ld_to words apart
void transpose_pairs(void* to, int64_t ld_to, const void* from, int64_t ld_from, int64_t row_pairs,
                     int64_t columns);

// Rows cut into panels of `width` columns: panel p holds columns [p * width, (p + 1) * width) row
// after row and starts p * panel_words words behind the first. All sizes in words.
//   from: `rows` rows of `columns` words, row_bytes apart
void rows_to_panels(void* to, int64_t width, int64_t panel_words, const void* from,
                    int64_t row_bytes, int64_t rows, int64_t columns);

// The same for two-byte elements, two rows to one: word (q, c) = (from[2q][c], from[2q+1][c]). A
// missing last row reads as zero.
void pair_rows_to_panels(void* to, int64_t width, int64_t panel_words, const void* from,
                         int64_t row_bytes, int64_t rows, int64_t columns);

}  // namespace athanor::cpu

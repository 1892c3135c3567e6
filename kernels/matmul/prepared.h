// The prepared form of a weight [out, in]: panels of 48 output channels, the last one as wide as
// the rest of the channels needs in steps of 16, padded with zeros. Panel after panel; inside one
//   f32:  [in][width]
//   bf16: [ceil(in / 2)][width][2], pairs of neighbouring inputs together, as vdpbf16ps reads them
// It depends on shape and dtype only, and any instruction set reads it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/dtype.h"

namespace athanor {

inline constexpr int64_t kPanelColumns = 48;
inline constexpr int64_t kPanelStep = 16;

// Width of the panel whose first column is `begin`, out of n columns.
constexpr int64_t panel_width(int64_t n, int64_t begin) {
  return std::min(kPanelColumns, (n - begin + kPanelStep - 1) / kPanelStep * kPanelStep);
}

// Columns of all panels of n columns together.
constexpr int64_t padded_columns(int64_t n) {
  return (n + kPanelStep - 1) / kPanelStep * kPanelStep;
}

// Where element (row, col) of an [out, in] weight lies in its prepared form, in elements.
constexpr int64_t prepared_element_offset(DType dtype, int64_t out, int64_t in, int64_t row,
                                          int64_t col) {
  const int64_t begin = row / kPanelColumns * kPanelColumns;
  const int64_t width = panel_width(out, begin);
  if (dtype == DType::kBF16) {
    const int64_t pairs = (in + 1) / 2;
    return 2 * (begin * pairs + col / 2 * width + row - begin) + col % 2;
  }
  return begin * in + col * width + row - begin;
}

}  // namespace athanor

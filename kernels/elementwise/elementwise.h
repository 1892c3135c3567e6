// Small operations on flat arrays, and row gathers.
#pragma once

#include "core/stream.h"
#include "core/tensor.h"

namespace athanor {

// y = 0, any dtype
void fill_zero(Tensor y, Stream& stream);
// y[i] = value, f32|bf16
void fill(Tensor y, float value, Stream& stream);
// y[n, y_first + c] = x[n, x_first + c], c < columns   y: [N, Cy]   x: [N, Cx] same dtype
void copy_columns(Tensor y, int64_t y_first, ConstTensor x, int64_t x_first, int64_t columns,
                  Stream& stream);
// y[i] = x[i], cast between f32 and bf16 where the dtypes differ (round to nearest even)
void copy(Tensor y, ConstTensor x, Stream& stream);
// y[i] = a[i] + b[i]   all the same dtype f32|bf16, sum in f32; y may be a or b
void add(Tensor y, ConstTensor a, ConstTensor b, Stream& stream);
// y[i] = x[i] * factor   f32|bf16; y may be x
void scale(Tensor y, ConstTensor x, float factor, Stream& stream);
// y[n,:] = x[rows[n],:]      y: [N, C]   x: [M, C] same dtype   rows: [N] i32
void gather_rows(Tensor y, ConstTensor x, ConstTensor rows, Stream& stream);
// y = 0, then y[rows[n],:] = x[n,:]; rows are distinct   y: [M, C]   x: [N, C]
void scatter_rows(Tensor y, ConstTensor x, ConstTensor rows, Stream& stream);

}  // namespace athanor

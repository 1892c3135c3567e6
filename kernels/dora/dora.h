// DoRA (arXiv:2402.09353): a linear layer whose weight has a direction, W + s B A, and a trained
// magnitude for every output.
//   y[n,o] = g[o] z[n,o],   z = x W^T + s x A^T B^T,   g[o] = m[o] / norm[o]
//   norm[o] = ||W[o,:] + s (B A)[o,:]||, a constant for the backward pass as in the paper:
//   dz = g dy,   dm[o] += sum_n dy[n,o] z[n,o] / norm[o]
// The norm is made without W + s B A: norm^2 = ||W||^2 + 2 s B (A W^T) + s^2 B (A A^T) B^T.
#pragma once

#include "core/stream.h"
#include "core/tensor.h"
#include "kernels/matmul/matmul.h"

namespace athanor {

// squares[o] = sum_i W[o,i]^2, i ascending in float64: the same bits from a plain and from a
// prepared weight.   squares: [O] f32
void weight_row_squares(Tensor squares, const LinearWeight& weight, Stream& stream);

// scale = g, norm as above; sums in float64   scale, norm, squares: [O] f32
//   product = A W^T: [R, O] f32   gram = A A^T: [R, R] f32   b: [O, R], magnitude: [O] f32|bf16
void dora_scales(Tensor scale, Tensor norm, ConstTensor squares, ConstTensor product,
                 ConstTensor gram, ConstTensor b, ConstTensor magnitude, float scaling,
                 Stream& stream);

// y[n,o] = x[n,o] * scale[o]   y, x: [N, O] f32|bf16, y may be x   scale: [O] f32
void scale_outputs(Tensor y, ConstTensor x, ConstTensor scale, Stream& stream);

// dmagnitude[o] += (sum_n dy[n,o] z[n,o]) / norm[o], the sum a chain of fma, n ascending
//   dmagnitude, norm: [O] f32   dy, z: [N, O] f32|bf16
void dora_magnitude_backward(Tensor dmagnitude, ConstTensor dy, ConstTensor z, ConstTensor norm,
                             Stream& stream);

}  // namespace athanor

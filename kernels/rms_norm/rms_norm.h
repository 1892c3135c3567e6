// Root mean square normalisation (Zhang and Sennrich, arXiv:1910.07467), as Llama uses it.
#pragma once

#include "core/stream.h"
#include "core/tensor.h"

namespace athanor {

// y[n,c] = x[n,c] * rstd[n] * (offset + weight[c]),   rstd[n] = 1 / sqrt(mean_c x[n,c]^2 + eps)
//   x, y: [N, C] f32|bf16   weight: [C] same dtype   rstd: [N] f32, kept for the backward pass
//   offset: 0, or 1 where weights are kept around zero (Gemma)
//   The sum over C is blocked_sum (core/pairwise.h).
void rms_norm_forward(Tensor y, Tensor rstd, ConstTensor x, ConstTensor weight, double eps,
                      float offset, Stream& stream);

// With g[n,c] = dy[n,c] * (offset + weight[c]):
//   dx[n,c] += rstd[n] * (g[n,c] - x[n,c] * rstd[n]^2 * mean_c(g[n,c] * x[n,c]))
//   dweight[c] += sum_n dy[n,c] * x[n,c] * rstd[n]
//   dx: [N, C] dtype of x, added to (the residual's gradient is already there)
//   dweight: [C] f32 or undefined when the weight is frozen
//   The sum over n: chunks of 64 rows in order, chunk sums by the pairwise tree.
//   workspace: rms_norm_backward_workspace(N, C) f32 elements, only when dweight is defined.
int64_t rms_norm_backward_workspace(int64_t rows, int64_t columns);
void rms_norm_backward(Tensor dx, Tensor dweight, ConstTensor dy, ConstTensor x, ConstTensor rstd,
                       ConstTensor weight, float offset, Tensor workspace, Stream& stream);

}  // namespace athanor

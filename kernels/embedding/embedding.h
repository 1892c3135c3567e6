// Token embedding lookup and its gradient.
#pragma once

#include "core/stream.h"
#include "core/tensor.h"
#include "kernels/matmul/matmul.h"

namespace athanor {

// y[n,:] = weight[ids[n],:]   y: [N, C] dtype of weight   ids: [N] i32 in [0, V)
// The weight may be plain or prepared (a frozen tied head): the same values.
void embedding_forward(Tensor y, ConstTensor ids, const LinearWeight& weight, Stream& stream);

// dweight[ids[n],:] += dy[n,:], n ascending   dweight: [V, C] f32   dy: [N, C] f32|bf16
void embedding_backward(Tensor dweight, ConstTensor dy, ConstTensor ids, Stream& stream);

}  // namespace athanor

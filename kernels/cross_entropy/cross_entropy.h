// Softmax cross-entropy of a chunk of rows, forward and backward in one pass over the logits.
#pragma once

#include "core/stream.h"
#include "core/tensor.h"
#include "kernels/step_scalars.h"

namespace athanor {

// loss[n] = log(sum_v exp(logits[n,v])) - logits[n,targets[n]]
// dlogits[n,v] = (softmax(logits[n])[v] - [v == targets[n]]) * scalars->loss_scale
//   logits: [N, V] f32   targets: [N] i32 in [0, V)   loss: [N] f32
//   dlogits: [N, V] f32|bf16, may be the same memory as logits when f32; undefined: loss only
//   Sums over V are blocked_sum order (core/pairwise.h); the maximum is exact.
//   soft_cap c > 0: the logits have gone through soft_cap_logits, and dlogits is the gradient of
//   what they were before: times 1 - (logits / c)^2.
void cross_entropy(Tensor loss, Tensor dlogits, ConstTensor logits, ConstTensor targets,
                   float soft_cap, const StepScalars* scalars, Stream& stream);

// logits = cap * tanh(logits / cap), in place   logits: [N, V] f32
void soft_cap_logits(Tensor logits, float cap, Stream& stream);

// *sum += blocked_sum of values   values: [N] f32   sum: one float64
void add_sum(double* sum, ConstTensor values, Stream& stream);

}  // namespace athanor

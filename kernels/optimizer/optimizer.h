// State arithmetic over flat float32 shards, and the sums that clipping needs. The update rules are
// one inline function each (update_rules.h), with explicit fma, so that host and device agree.
#pragma once

#include <cstdint>

#include "core/stream.h"
#include "core/tensor.h"
#include "kernels/step_scalars.h"

namespace athanor {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

// AdamW (Loshchilov and Hutter, arXiv:1711.05101) as torch.optim.AdamW computes it, g = grad *
// scalars->clip_scale:
//   w *= 1 - lr * weight_decay
//   m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
//   w -= lr / bias_correction1 * m / (sqrt(v) / sqrt(bias_correction2) + epsilon)
//   master, m, v, grad: [n] f32   working: [n] f32|bf16 copy of w, or undefined when master is it
//   All elements share weight_decay: callers split a shard at parameters.
void adamw_update(Tensor working, Tensor master, Tensor m, Tensor v, ConstTensor grad,
                  const AdamWOptions& options, double weight_decay, const StepScalars* scalars,
                  Stream& stream);

// The same with m and v in eight bits an element (eight_bit.h). w is updated from the new moments
// before they are rounded.
//   m, v: [ceil(n / 128), 132] u8; zeros at first
void adamw8_update(Tensor working, Tensor master, Tensor m, Tensor v, ConstTensor grad,
                   const AdamWOptions& options, double weight_decay, const StepScalars* scalars,
                   Stream& stream);

// Lion (Chen et al., arXiv:2302.06675) with beta1 and beta2 of the options:
//   w *= 1 - lr * weight_decay
//   w -= lr * sign(beta1 m + (1 - beta1) g),   m = beta2 m + (1 - beta2) g
void lion_update(Tensor working, Tensor master, Tensor m, ConstTensor grad,
                 const AdamWOptions& options, double weight_decay, const StepScalars* scalars,
                 Stream& stream);

// w *= 1 - lr * weight_decay,  w -= lr * g
void sgd_update(Tensor working, Tensor master, ConstTensor grad, double weight_decay,
                const StepScalars* scalars, Stream& stream);

// sums[b] = sum of x[i]^2 over block b of 1,024 elements (block_sum, core/pairwise.h)
//   x: [n] f32   sums: ceil(n / 1024) float64
void block_square_sums(double* sums, ConstTensor x, Stream& stream);

// y[i] = a[i] + b[i], f32: one node of the pairwise tree over lanes or ranks; y may be a or b
void tree_add(Tensor y, ConstTensor a, ConstTensor b, Stream& stream);

}  // namespace athanor

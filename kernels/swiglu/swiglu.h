// SwiGLU (Shazeer, arXiv:2002.05202): y = silu(gate) * up,  silu(g) = g / (1 + exp(-g)).
#pragma once

#include "core/stream.h"
#include "core/tensor.h"

namespace athanor {

//   y, gate, up: [N, F] f32|bf16
void swiglu_forward(Tensor y, ConstTensor gate, ConstTensor up, Stream& stream);

// dgate = dy * up * s * (1 + gate * (1 - s)),  dup = dy * gate * s,  s = 1 / (1 + exp(-gate))
//   dgate and dup may be the same memory as gate and up.
void swiglu_backward(Tensor dgate, Tensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up,
                     Stream& stream);

}  // namespace athanor

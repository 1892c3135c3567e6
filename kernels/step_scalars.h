// StepScalars: what changes from step to step, in device memory, so that a captured step can be
// replayed. Written by the host before a step starts; operations get a pointer.
#pragma once

#include <cstdint>

namespace athanor {

struct StepScalars {
  double loss_scale = 0;  // 1 / target tokens of the whole step
  double clip_scale = 1;  // min(1, max_grad_norm / norm), 1 without clipping
  double learning_rate = 0;
  double bias_correction1 = 1;  // 1 - beta1^t, powers computed on the host in float64
  double bias_correction2 = 1;  // 1 - beta2^t
  uint64_t seed = 0;
  uint64_t step = 0;  // counts from 0
};

}  // namespace athanor

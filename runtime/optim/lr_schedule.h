// Learning-rate schedules, step for step as transformers' get_*_schedule_with_warmup.
#pragma once

#include <cstdint>

namespace athanor {

enum class LrSchedule { kConstant, kLinear, kCosine };

struct LrOptions {
  LrSchedule schedule = LrSchedule::kLinear;
  double learning_rate = 0;
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;
};

// The rate used by step `step`, counted from 0. Warm-up: lr * step / warmup_steps. Then constant,
// linear to 0 at total_steps, or lr / 2 * (1 + cos(pi * progress)).
double learning_rate_at(const LrOptions& options, int64_t step);

}  // namespace athanor

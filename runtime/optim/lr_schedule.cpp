#include "runtime/optim/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace athanor {

double learning_rate_at(const LrOptions& options, int64_t step) {
  const auto ratio = [](int64_t a, int64_t b) {
    return static_cast<double>(a) / static_cast<double>(std::max<int64_t>(1, b));
  };
  if (step < options.warmup_steps) {
    return options.learning_rate * ratio(step, options.warmup_steps);
  }
  const int64_t decay_steps = options.total_steps - options.warmup_steps;
  switch (options.schedule) {
    case LrSchedule::kConstant:
      return options.learning_rate;
    case LrSchedule::kLinear:
      return options.learning_rate * std::max(0.0, ratio(options.total_steps - step, decay_steps));
    case LrSchedule::kCosine: {
      const double progress = ratio(step - options.warmup_steps, decay_steps);
      return options.learning_rate *
             std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
    }
  }
  return 0;
}

}  // namespace athanor

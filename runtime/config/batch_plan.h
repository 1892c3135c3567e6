// Rows and micro-batches of an optimizer step, from the config and the world size. Pure arithmetic.
#pragma once

#include <cstdint>

#include "runtime/config/run_config.h"

namespace athanor {

struct BatchPlan {
  int64_t world = 1;
  int64_t rows_per_micro_batch = 1;    // per_device_train_batch_size
  int64_t rows_per_step = 1;           // over all ranks
  int64_t micro_batches = 1;           // M, over all ranks
  int64_t lanes = 1;                   // L
  int64_t micro_batches_per_lane = 1;  // ceil(M / L); the last lanes are short or empty
  // Of the busiest rank, for ceil(L / W) lanes on it.
  int64_t micro_batches_per_rank = 1;

  bool operator==(const BatchPlan&) const = default;
};

// Throws Error(kConfig) naming both numbers when the keys contradict each other at this world size.
BatchPlan resolve_batch(const RunConfig& config, int world);

}  // namespace athanor

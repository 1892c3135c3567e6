// The loss of a model on data, forward only: no gradients, no optimizer state.
#pragma once

#include <cstdint>

#include "core/buffer.h"
#include "runtime/data/batch.h"
#include "runtime/train/session.h"

namespace athanor {

struct Evaluation {
  int64_t samples = 0;
  int64_t tokens = 0;
  int64_t target_tokens = 0;
  double loss = 0;  // mean over the target tokens, in nats
  double perplexity() const;
};

// On one rank, micro-batch by micro-batch. `run` is of world size 1; its weights are read here.
Evaluation evaluate_model(const ResolvedRun& run, const BatchSource& data, CpuDevice& device,
                          Allocator& memory);

}  // namespace athanor

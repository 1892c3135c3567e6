// Optimizer: one update of everything that this rank owns, on flat shards where their state lives.
#pragma once

#include <cstdint>
#include <vector>

#include "core/stream.h"
#include "kernels/optimizer/optimizer.h"
#include "sharding/grad_store.h"
#include "sharding/moment_layout.h"
#include "sharding/optimizer_state_store.h"
#include "sharding/param_spec.h"
#include "sharding/partition_table.h"

namespace athanor {

enum class OptimizerKind { kAdamW, kAdamW8Bit, kLion, kSgd };

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kAdamW;
  AdamWOptions adamw;       // its betas are Lion's, too
  double weight_decay = 0;  // not applied to norms and biases

  // What is kept per trained element besides the master.
  MomentLayout moments() const;
};

// Updates one unit's owned range from its final gradient. Decay changes at parameter borders, so
// the range is split there.
void update_unit(const OptimizerOptions& options, const UnitSpec& spec,
                 const UnitPartition& partition, int unit, const GradStore& grads,
                 const OptimizerStateStore& states, const StepScalars* scalars, Stream& stream);

}  // namespace athanor

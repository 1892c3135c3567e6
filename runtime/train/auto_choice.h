// What `auto` means for zero.schedule and gradient_checkpointing: the fastest dry run that fits.
#pragma once

#include <string>

#include "runtime/config/run_config.h"
#include "runtime/train/plan.h"

namespace athanor {

// Plans every combination of schedule and recomputation that are `auto` and puts in the one with
// the lowest floor time that fits the budget; where floors differ by less than 1 %, the least
// recomputation, then batch_major. When nothing fits, the one with the lowest peak. Values that
// were given stay. Then save_in_background: where the plan fits with the copy that it takes, too.
// Returns a line that says what was decided and why, empty when nothing was `auto`.
// All ranks decide alike as long as machine and budget are the same: nothing is measured here.
std::string decide_auto(RunConfig& config, const PlanOptions& options, const Machine& machine);

// Whether this build carries `config` out.
bool is_available(const RunConfig& config);

}  // namespace athanor

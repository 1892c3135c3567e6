// What train and plan do with the memory budget before a run: decide what is `auto`, refuse what
// will not fit.
#pragma once

#include <string>

#include "launcher/rank_discovery.h"
#include "launcher/verbs.h"
#include "runtime/config/run_config.h"
#include "runtime/train/plan.h"
#include "runtime/train/plan_changes.h"

namespace athanor {

// Reads the verb's config again with more settings behind its overrides.
ConfigReader config_reader(const ConfigArguments& arguments);

// The rates by which changes and `auto` are judged: of a given profile its own, of `here` nominal
// ones, so that train, plan and all ranks come to the same decision.
Machine deciding_machine(const Machine& machine);

// This host with nominal rates, its budget and the ranks that this job has on it.
Machine this_host(const RunConfig& config, const ProcessRank& process, int world);

// Throws kDoesNotFit before anything is allocated, with the cheapest changes on rank 0; with
// `force` the same text is a warning. Returns the planned peak of a rank in bytes.
int64_t check_fits(const TrainArguments& arguments, const RunConfig& config,
                   const PlanOptions& options, const Machine& machine, bool leads);

}  // namespace athanor

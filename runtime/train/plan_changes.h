// What a user can change when a run does not fit: each change is a few settings, and what it saves
// and costs is what a dry run with them says.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/config/run_config.h"
#include "runtime/train/plan.h"

namespace athanor {

// The run's config with further key=value settings behind its own; throws Error(kConfig) for
// settings that do not go with it.
using ConfigReader = std::function<RunConfig(const std::vector<std::string>& settings)>;

struct PlanChange {
  std::vector<std::string> settings;  // key=value, as the command line takes them
  std::string remark;                 // what else changes; empty: the run's results keep their bits
  int64_t saved_bytes = 0;            // of a host, at peak
  double slowdown = 1;                // floor time per token, relative to the plan's
  bool fits = false;
};

// The `count` cheapest changes that make `plan` smaller: those that fit first, by what they add to
// the floor time of a token; at equal cost those that keep the results' bits, then by what they
// save. When none fits alone, the first one is a combination that does, if there is one.
std::vector<PlanChange> cheapest_changes(const ConfigReader& read, const PlanResult& plan,
                                         const PlanOptions& options, const Machine& machine,
                                         size_t count = 3);

// "zero.stage=3 (saves 1.500 GiB, fits, step x1.02)"
std::string describe(const PlanChange& change);

// One line that says why a run is refused and what would help.
std::string refusal(const PlanResult& plan, const std::vector<PlanChange>& changes);

// The plan's own output, with the changes behind it where there are any.
std::string plan_json(const PlanResult& plan, const std::vector<PlanChange>& changes);
std::string plan_table(const PlanResult& plan, const Machine& machine,
                       const std::vector<PlanChange>& changes);

}  // namespace athanor

#include "runtime/train/auto_choice.h"

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "runtime/config/option_names.h"

namespace athanor {
namespace {

constexpr double kTie = 0.01;  // of a floor time

struct Candidate {
  RunConfig config;
  int64_t peak_bytes = 0;
  double floor_seconds = 0;
  bool fits = false;
};

// In the order of preference at equal floors.
std::vector<RunConfig> combinations(const RunConfig& config) {
  std::vector<CheckpointingOption> recomputations = {config.gradient_checkpointing};
  if (config.gradient_checkpointing == CheckpointingOption::kAuto) {
    recomputations = {CheckpointingOption::kNone, CheckpointingOption::kSelective,
                      CheckpointingOption::kFull};
  }
  std::vector<ScheduleOption> schedules = {config.zero.schedule};
  if (config.zero.schedule == ScheduleOption::kAuto) {
    schedules = {ScheduleOption::kBatchMajor, ScheduleOption::kLayerMajor};
  }
  std::vector<RunConfig> all;
  for (const CheckpointingOption recomputation : recomputations) {
    for (const ScheduleOption schedule : schedules) {
      RunConfig candidate = config;
      candidate.gradient_checkpointing = recomputation;
      candidate.zero.schedule = schedule;
      resolve_auto(candidate);
      if (is_available(candidate)) all.push_back(candidate);
    }
  }
  return all;
}

// Candidates come in the order of preference: a later one must be clearly better.
bool better(const Candidate& later, const Candidate& best) {
  if (later.fits != best.fits) return later.fits;
  if (!later.fits) return later.peak_bytes < best.peak_bytes;
  return later.floor_seconds < best.floor_seconds * (1 - kTie);
}

}  // namespace

namespace {

// Saving beside the training is faster and changes nothing else: wherever there is room.
std::string decide_background(RunConfig& config, const PlanOptions& largest_only,
                              const Machine& machine) {
  if (config.save_in_background != BackgroundOption::kAuto) return "";
  RunConfig copying = config;
  copying.save_in_background = BackgroundOption::kOn;
  resolve_auto(copying);
  const bool fits = config.save_steps > 0 && make_plan(copying, largest_only, machine).fits;
  config.save_in_background = fits ? BackgroundOption::kOn : BackgroundOption::kOff;
  return fits ? " save_in_background=true" : " save_in_background=false";
}

}  // namespace

bool is_available(const RunConfig& config) {
  try {
    refuse_unimplemented(config);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::string decide_auto(RunConfig& config, const PlanOptions& options, const Machine& machine) {
  const bool schedule = config.zero.schedule == ScheduleOption::kAuto;
  const bool recomputation = config.gradient_checkpointing == CheckpointingOption::kAuto;
  PlanOptions largest_only = options;
  largest_only.all_ranks = false;
  if (!schedule && !recomputation) {
    const std::string background = decide_background(config, largest_only, machine);
    return background.empty() ? "" : "auto:" + background;
  }
  std::vector<Candidate> candidates;
  for (const RunConfig& combination : combinations(config)) {
    const PlanResult plan = make_plan(combination, largest_only, machine);
    candidates.push_back({combination, plan.host_peak_bytes(), plan.floor_seconds, plan.fits});
  }
  ATHANOR_CHECK(!candidates.empty(), "no combination of schedule and recomputation is available");
  const Candidate* best = &candidates.front();
  for (const Candidate& candidate : candidates) {
    if (better(candidate, *best)) best = &candidate;
  }
  config.zero.schedule = best->config.zero.schedule;
  config.gradient_checkpointing = best->config.gradient_checkpointing;
  std::string line = "auto:";
  if (schedule) line += std::string(" zero.schedule=") + option_name(config.zero.schedule);
  if (recomputation) {
    line += std::string(" gradient_checkpointing=") + option_name(config.gradient_checkpointing);
  }
  const bool any_fits = best->fits;
  const std::string background = decide_background(config, largest_only, machine);
  return line + background +
         (any_fits ? " (the fastest that fits of " : " (nothing fits, the smallest of ") +
         std::to_string(candidates.size()) + " dry runs)";
}

}  // namespace athanor

// The placements of a run side by side: stages x offloads x schedules x recomputation, a dry run
// each.
#pragma once

#include <string>
#include <vector>

#include "runtime/train/plan.h"
#include "runtime/train/plan_changes.h"

namespace athanor {

struct ComparedPlan {
  std::string stage;
  std::string offload;  // states on disk, joined by +, or none
  std::string schedule;
  std::string recomputation;
  PlanResult plan;
};

// All combinations that this build carries out and that go with the config, on one host's ranks
// the stages only where there are several ranks.
std::vector<ComparedPlan> compare_plans(const ConfigReader& read, const PlanResult& plan,
                                        const PlanOptions& options, const Machine& machine);
std::string compare_table(const std::vector<ComparedPlan>& plans, const Machine& machine);
std::string compare_json(const std::vector<ComparedPlan>& plans);

}  // namespace athanor

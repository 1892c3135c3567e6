// The plan of a run: the same training step on counting streams, allocators and communicator. What
// it says is therefore what a run does; nothing is read but config.json, nothing is allocated.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/stream.h"
#include "runtime/train/machine.h"
#include "runtime/train/session.h"
#include "runtime/train/step_batch.h"
#include "sharding/comm/communicator.h"

namespace athanor {

struct RankPlan {
  int rank = 0;
  int64_t peak_bytes = 0;        // device tier
  int64_t persistent_bytes = 0;  // what stays allocated between steps
  int64_t disk_bytes = 0;        // of the file of the disk tier
};

struct PlanResult {
  ResolvedRun run;
  std::vector<RankPlan> ranks;  // the largest one, or all of them
  // Of the rank with the most work (rank 0).
  std::map<std::string, CostSum> operations;           // one step
  std::map<std::string, CollectiveCount> collectives;  // one step in steady state
  std::map<std::string, CostSum> copies;               // from and to disk, the same
  std::vector<std::pair<std::string, int64_t>> gathers_per_unit;
  double flops = 0;
  double compute_seconds = 0;
  double communication_seconds = 0;
  double floor_seconds = 0;
  int ranks_per_host = 1;
  int64_t budget_bytes = 0;  // of a host
  std::string budget_from;   // memory_budget, a control group's folder, a machine's name
  bool fits = true;          // host_peak_bytes() <= budget_bytes
  // Of all ranks of a host, each counted as the largest one.
  int64_t host_peak_bytes() const { return ranks.at(0).peak_bytes * ranks_per_host; }
};

struct PlanOptions {
  int world_size = 1;
  int threads = 1;  // of a rank
  bool all_ranks = false;
  int64_t staging_bytes = 0;  // of the communicator; 0 where ranks are threads
};

PlanResult make_plan(const RunConfig& config, const PlanOptions& options, const Machine& machine);
// A step of the longest micro-batches there can be, as `rank` has it.
StepBatch full_step_batch(const ResolvedRun& run, const LanePlan& plan, int rank);
std::string plan_json(const PlanResult& plan);
std::string plan_table(const PlanResult& plan, const Machine& machine);

}  // namespace athanor

// athanor plan: a run's memory, communication and floor time, without the run.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "launcher/fit.h"
#include "launcher/rank_discovery.h"
#include "launcher/verbs.h"
#include "runtime/io/atomic_file.h"
#include "runtime/train/auto_choice.h"
#include "runtime/train/plan.h"
#include "runtime/train/plan_changes.h"
#include "runtime/train/plan_compare.h"
#include "runtime/train/timeline.h"
#include "sharding/comm/exchange_communicator.h"

namespace athanor {
namespace {

PlanOptions plan_options(const PlanArguments& arguments, const RunConfig& config) {
  PlanOptions options;
  options.world_size = arguments.world > 0 ? arguments.world : static_cast<int>(config.ranks);
  const bool here = arguments.machine == "here";
  options.threads = threads_per_rank(config, here ? std::min(options.world_size, 64) : 1);
  options.staging_bytes =
      options.world_size == config.ranks ? 0 : exchange_staging_bytes(options.world_size);
  options.all_ranks = arguments.all_ranks;
  return options;
}

}  // namespace

int run_plan(const PlanArguments& arguments) {
  const ProcessRank process = discover_process_rank();
  RunConfig config = load_run_config(arguments.config, arguments.overrides);
  refuse_unimplemented(config);
  const PlanOptions options = plan_options(arguments, config);
  const Machine machine = load_machine(arguments.machine, options.threads);
  const Machine deciding = deciding_machine(machine);
  const std::string decided = decide_auto(config, options, deciding);
  if (!decided.empty()) log_info(decided);
  resolve_auto(config);
  const PlanResult plan = make_plan(config, options, machine);
  warn_about(plan.run);
  if (!arguments.timeline.empty() && process.rank == 0) {
    write_file_atomic(arguments.timeline, chrome_trace(plan_timeline(config, options, machine)));
  }
  std::string text;
  if (arguments.compare) {
    const auto plans = compare_plans(config_reader(arguments), plan, options, machine);
    text = arguments.json ? compare_json(plans) : compare_table(plans, machine);
  } else {
    std::vector<PlanChange> changes;
    if (!plan.fits) {
      const PlanResult base = make_plan(config, options, deciding);
      changes = cheapest_changes(config_reader(arguments), base, options, deciding);
    }
    text = arguments.json ? plan_json(plan, changes) : plan_table(plan, machine, changes);
  }
  if (process.rank == 0) std::fwrite(text.data(), 1, text.size(), stdout);
  return plan.fits ? 0 : exit_code(ErrorKind::kDoesNotFit);
}

}  // namespace athanor

#include "launcher/fit.h"

#include "core/error.h"
#include "core/log.h"
#include "runtime/train/budget.h"
#include "runtime/train/figures.h"

namespace athanor {

ConfigReader config_reader(const ConfigArguments& arguments) {
  return [arguments](const std::vector<std::string>& settings) {
    std::vector<std::string> all = arguments.overrides;
    all.insert(all.end(), settings.begin(), settings.end());
    return load_run_config(arguments.config, all);
  };
}

Machine deciding_machine(const Machine& machine) {
  if (machine.name != "here") return machine;
  Machine nominal = nominal_host();
  nominal.ranks_per_host = machine.ranks_per_host;
  nominal.memory_bytes = machine.memory_bytes;
  nominal.memory_limited_by = machine.memory_limited_by;
  return nominal;
}

Machine this_host(const RunConfig& config, const ProcessRank& process, int world) {
  Machine machine = nominal_host();
  machine.ranks_per_host = process.world_size > 1 ? process.ranks_on_host : world;
  if (config.memory_budget) {
    machine.memory_bytes = *config.memory_budget;  // whatever this host says
  } else {
    const MemoryBudget budget = memory_budget();
    machine.memory_bytes = budget.bytes;
    machine.memory_limited_by = budget.limited_by;
  }
  return machine;
}

int64_t check_fits(const TrainArguments& arguments, const RunConfig& config,
                   const PlanOptions& options, const Machine& machine, bool leads) {
  const PlanResult plan = make_plan(config, options, machine);
  log_info("plan: " + binary_bytes(plan.ranks[0].peak_bytes) + " a rank at peak, " +
           binary_bytes(plan.host_peak_bytes()) + " of " + binary_bytes(plan.budget_bytes) +
           " on this host (" + plan.budget_from + ")");
  if (plan.fits) return plan.ranks[0].peak_bytes;
  if (arguments.force) {
    log_warning("--force: starting although " + refusal(plan, {}));
    return plan.ranks[0].peak_bytes;
  }
  std::vector<PlanChange> changes;
  if (leads) changes = cheapest_changes(config_reader(arguments), plan, options, machine);
  throw Error(ErrorKind::kDoesNotFit, refusal(plan, changes) + "; --force starts anyway");
}

}  // namespace athanor

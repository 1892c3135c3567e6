#include "launcher/fit.h"

#include "core/error.h"
#include "core/log.h"
#include "runtime/train/budget.h"

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
  return nominal;
}

Machine this_host(const RunConfig& config, const ProcessRank& process, int world) {
  Machine machine = nominal_host();
  machine.ranks_per_host = process.world_size > 1 ? process.ranks_on_host : world;
  machine.memory_bytes = config.memory_budget ? *config.memory_budget : memory_budget().bytes;
  return machine;
}

int64_t check_fits(const TrainArguments& arguments, const RunConfig& config,
                   const PlanOptions& options, const Machine& machine, bool leads) {
  const PlanResult plan = make_plan(config, options, machine);
  log_info("plan: " + std::to_string(plan.ranks[0].peak_bytes >> 20) + " MiB a rank at peak, " +
           std::to_string(plan.host_peak_bytes() >> 20) + " MiB of " +
           std::to_string(plan.budget_bytes >> 20) + " MiB on this host");
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

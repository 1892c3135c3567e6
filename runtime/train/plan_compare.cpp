#include "runtime/train/plan_compare.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/config/option_names.h"
#include "runtime/train/auto_choice.h"
#include "runtime/train/figures.h"

namespace athanor {
namespace {

constexpr const char* kStates[] = {"param", "optimizer", "activations"};

struct Offload {
  std::string name;
  std::vector<std::string> settings;
};

// Nothing, each state alone, all three. Keys stay away where a state is not on disk, so that a
// config may give them itself.
std::vector<Offload> offloads(const RunConfig& config) {
  std::vector<std::string> where;
  if (config.zero.nvme_path.empty()) {
    where.push_back("zero.nvme_path=" + (config.output_dir.empty() ? "." : config.output_dir));
  }
  std::vector<Offload> all = {{"as given", {}}};
  Offload every{"param+optimizer+activations", where};
  for (const char* state : kStates) {
    Offload one{state, where};
    one.settings.push_back(std::string("zero.offload_") + state + "=nvme");
    every.settings.push_back(one.settings.back());
    all.push_back(one);
  }
  all.push_back(every);
  return all;
}

std::vector<std::string> stages(const PlanResult& plan) {
  if (plan.run.world_size == 1) return {std::to_string(plan.run.config.zero.stage)};
  return {"0", "1", "2", "3"};
}

}  // namespace

std::vector<ComparedPlan> compare_plans(const ConfigReader& read, const PlanResult& plan,
                                        const PlanOptions& options, const Machine& machine) {
  PlanOptions largest_only = options;
  largest_only.all_ranks = false;
  std::vector<ComparedPlan> plans;
  const auto add = [&](ComparedPlan row, std::vector<std::string> settings) {
    settings.push_back("zero.stage=" + row.stage);
    settings.push_back("zero.schedule=" + row.schedule);
    settings.push_back("gradient_checkpointing=" + row.recomputation);
    try {
      RunConfig config = read(settings);
      if (!is_available(config)) return;
      resolve_auto(config);
      row.plan = make_plan(config, largest_only, machine);
      plans.push_back(std::move(row));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kConfig) throw;
    }
  };
  for (const std::string& stage : stages(plan)) {
    for (const Offload& offload : offloads(plan.run.config)) {
      for (const auto schedule : {ScheduleOption::kBatchMajor, ScheduleOption::kLayerMajor}) {
        for (const auto recomputation :
             {CheckpointingOption::kNone, CheckpointingOption::kSelective,
              CheckpointingOption::kFull}) {
          add({stage, offload.name, option_name(schedule), option_name(recomputation), {}},
              offload.settings);
        }
      }
    }
  }
  return plans;
}

std::string compare_table(const std::vector<ComparedPlan>& plans, const Machine& machine) {
  std::string text = column("stage", 7) + column("on disk", 29) + column("schedule", 13) +
                     column("recomputation", 15) + column("device peak", 15) +
                     column("floor of a step", 17) + "on " + machine.name + "\n";
  for (const ComparedPlan& row : plans) {
    text += column(row.stage, 7) + column(row.offload, 29) + column(row.schedule, 13) +
            column(row.recomputation, 15) + column(binary_bytes(row.plan.ranks[0].peak_bytes), 15) +
            column(human(row.plan.floor_seconds, "s"), 17) +
            (row.plan.fits ? "fits" : "does not fit") + "\n";
  }
  return text;
}

std::string compare_json(const std::vector<ComparedPlan>& plans) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const ComparedPlan& row : plans) {
    const nlohmann::ordered_json plan = nlohmann::ordered_json::parse(plan_json(row.plan));
    json.push_back({{"zero_stage", row.plan.run.trainer.zero_stage},
                    {"offload", row.offload},
                    {"schedule", row.schedule},
                    {"gradient_checkpointing", row.recomputation},
                    {"tiers", plan.at("ranks").at(0).at("tiers")},
                    {"floor_seconds", row.plan.floor_seconds},
                    {"fits", row.plan.fits}});
  }
  return json.dump(2) + "\n";
}

}  // namespace athanor

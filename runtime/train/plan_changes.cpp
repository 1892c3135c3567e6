#include "runtime/train/plan_changes.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "runtime/train/auto_choice.h"
#include "runtime/train/figures.h"

namespace athanor {
namespace {

struct Row {
  std::vector<std::string> settings;
  std::string remark;
};

constexpr const char* kNumerics = "changes the numerics";
constexpr const char* kData = "changes the data";

void add_batch_row(const RunConfig& config, std::vector<Row>& rows) {
  const int64_t rows_now = config.per_device_train_batch_size;
  if (rows_now < 2 || rows_now % 2 != 0) return;
  Row row{{"per_device_train_batch_size=" + std::to_string(rows_now / 2)}, kNumerics};
  // With a global batch alone the accumulation follows by itself.
  if (config.gradient_accumulation_steps || !config.global_batch_size) {
    row.settings.push_back("gradient_accumulation_steps=" +
                           std::to_string(2 * config.gradient_accumulation_steps.value_or(1)));
  }
  rows.push_back(row);
}

std::vector<Row> candidate_rows(const PlanResult& plan) {
  const RunConfig& config = plan.run.config;
  std::vector<Row> rows = {
      {{"gradient_checkpointing=selective"}, ""},
      {{"gradient_checkpointing=full"}, ""},
      {{"gradient_checkpointing=full", "zero.schedule=layer_major"}, ""},
      {{"zero.schedule=batch_major"}, ""},
  };
  if (plan.run.trainer.checkpoint_copy) rows.push_back({{"save_in_background=false"}, ""});
  if (plan.run.world_size > 1) {
    for (int64_t stage = config.zero.stage + 1; stage <= 3; ++stage) {
      rows.push_back({{"zero.stage=" + std::to_string(stage)}, ""});
    }
  }
  const std::string folder = config.output_dir.empty() ? "." : config.output_dir;
  for (const char* state : {"optimizer", "param", "activations"}) {
    Row row{{std::string("zero.offload_") + state + "=nvme"}, ""};
    if (config.zero.nvme_path.empty()) row.settings.push_back("zero.nvme_path=" + folder);
    rows.push_back(row);
  }
  if (!config.bf16) rows.push_back({{"bf16=true"}, kNumerics});
  add_batch_row(config, rows);
  if (config.optim != OptimizerOption::kSgd) rows.push_back({{"optim=sgd"}, kNumerics});
  if (config.cutoff_len >= 2) {
    rows.push_back({{"cutoff_len=" + std::to_string(config.cutoff_len / 2)}, kData});
  }
  return rows;
}

// Later settings of a key win.
std::vector<std::string> merge(const std::vector<std::string>& first,
                               const std::vector<std::string>& second) {
  std::vector<std::string> merged = first;
  for (const std::string& setting : second) {
    const std::string key = setting.substr(0, setting.find('=') + 1);
    std::erase_if(merged, [&](const std::string& other) { return other.rfind(key, 0) == 0; });
    merged.push_back(setting);
  }
  return merged;
}

double seconds_per_token(const PlanResult& plan) {
  return plan.floor_seconds / static_cast<double>(plan.run.batch.rows_per_step) /
         static_cast<double>(plan.run.config.cutoff_len);
}

class Dry {
 public:
  Dry(const ConfigReader& read, const PlanResult& plan, const PlanOptions& options,
      const Machine& machine)
      : read_(read), plan_(plan), options_(options), machine_(machine) {
    options_.all_ranks = false;
  }

  // Nothing when the settings contradict the config, are not available, or save nothing.
  std::optional<PlanChange> operator()(const Row& row) const {
    RunConfig config;
    PlanResult changed;
    try {
      config = read_(row.settings);
      if (!is_available(config)) return std::nullopt;
      // What was decided for the plan stays unless the change is about it.
      if (config.zero.schedule == ScheduleOption::kAuto) {
        config.zero.schedule = plan_.run.config.zero.schedule;
      }
      if (config.gradient_checkpointing == CheckpointingOption::kAuto) {
        config.gradient_checkpointing = plan_.run.config.gradient_checkpointing;
      }
      resolve_auto(config);
      changed = make_plan(config, options_, machine_);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kConfig) return std::nullopt;
      throw;
    }
    PlanChange change{row.settings, row.remark, 0, 1, changed.fits};
    change.saved_bytes = plan_.host_peak_bytes() - changed.host_peak_bytes();
    change.slowdown = seconds_per_token(changed) / seconds_per_token(plan_);
    if (change.saved_bytes <= 0) return std::nullopt;
    return change;
  }

 private:
  const ConfigReader& read_;
  const PlanResult& plan_;
  PlanOptions options_;
  const Machine& machine_;
};

// Speed that a change brings on top is not counted: no one asked for it. Steps of 1 %.
int64_t cost(const PlanChange& change) {
  return std::max<int64_t>(0, std::llround((change.slowdown - 1) * 100));
}

int rank_of_remark(const PlanChange& change) {
  return change.remark.empty() ? 0 : change.remark == kData ? 2 : 1;
}

bool cheaper(const PlanChange& a, const PlanChange& b) {
  if (a.fits != b.fits) return a.fits;
  if (a.fits && cost(a) != cost(b)) return cost(a) < cost(b);
  if (rank_of_remark(a) != rank_of_remark(b)) return rank_of_remark(a) < rank_of_remark(b);
  return a.saved_bytes > b.saved_bytes;
}

std::string join_remarks(const std::string& a, const std::string& b) {
  if (a.empty() || a == b) return b;
  return b.empty() || a.find(b) != std::string::npos ? a : a + ", " + b;
}

// Adds change after change, those that keep the bits first and the largest savings first, until
// the whole fits; a change that adds nothing to those before is left out.
std::optional<PlanChange> combine(const Dry& dry, const std::vector<PlanChange>& sorted) {
  std::optional<PlanChange> best;
  for (const PlanChange& next : sorted) {
    const std::vector<std::string> before = best ? best->settings : std::vector<std::string>{};
    const std::optional<PlanChange> both =
        dry({merge(before, next.settings), join_remarks(best ? best->remark : "", next.remark)});
    if (!both || (best && both->saved_bytes <= best->saved_bytes)) continue;
    best = both;
    if (best->fits) return best;
  }
  return std::nullopt;
}

}  // namespace

std::vector<PlanChange> cheapest_changes(const ConfigReader& read, const PlanResult& plan,
                                         const PlanOptions& options, const Machine& machine,
                                         size_t count) {
  const Dry dry(read, plan, options, machine);
  std::vector<PlanChange> changes;
  for (const Row& row : candidate_rows(plan)) {
    if (std::optional<PlanChange> change = dry(row)) changes.push_back(std::move(*change));
  }
  std::stable_sort(changes.begin(), changes.end(), cheaper);
  if (!changes.empty() && !changes.front().fits) {
    if (std::optional<PlanChange> all = combine(dry, changes)) {
      changes.insert(changes.begin(), std::move(*all));
    }
  }
  if (changes.size() > count) changes.resize(count);
  return changes;
}

std::string describe(const PlanChange& change) {
  std::string text;
  for (const std::string& setting : change.settings) text += (text.empty() ? "" : " ") + setting;
  char factor[32];
  std::snprintf(factor, sizeof factor, "%.2f", change.slowdown);
  text += " (saves " + binary_bytes(change.saved_bytes);
  text += change.fits ? ", fits" : ", does not fit alone";
  text += std::string(", time of a token x") + factor;
  if (!change.remark.empty()) text += ", " + change.remark;
  return text + ")";
}

std::string refusal(const PlanResult& plan, const std::vector<PlanChange>& changes) {
  std::string text = "the run needs " + binary_bytes(plan.host_peak_bytes()) + " (" +
                     std::to_string(plan.host_peak_bytes()) + " bytes) on this host (" +
                     std::to_string(plan.ranks_per_host) +
                     (plan.ranks_per_host == 1 ? " rank" : " ranks") + " at peak), the budget is " +
                     binary_bytes(plan.budget_bytes) + " (" + std::to_string(plan.budget_bytes) +
                     " bytes, from " + plan.budget_from + ")";
  const char* before = "; cheapest changes: ";
  for (const PlanChange& change : changes) {
    text += before + describe(change);
    before = "; ";
  }
  return text;
}

std::string plan_json(const PlanResult& plan, const std::vector<PlanChange>& changes) {
  if (changes.empty()) return plan_json(plan);
  auto json = nlohmann::ordered_json::parse(plan_json(plan));
  for (const PlanChange& change : changes) {
    json["changes"].push_back({{"settings", change.settings},
                               {"saved_bytes", change.saved_bytes},
                               {"slowdown", change.slowdown},
                               {"fits", change.fits},
                               {"remark", change.remark}});
  }
  return json.dump(2) + "\n";
}

std::string plan_table(const PlanResult& plan, const Machine& machine,
                       const std::vector<PlanChange>& changes) {
  std::string text = plan_table(plan, machine);
  for (const PlanChange& change : changes) {
    text +=
        column(&change == changes.data() ? "cheapest changes" : "", 24) + describe(change) + "\n";
  }
  return text;
}

}  // namespace athanor

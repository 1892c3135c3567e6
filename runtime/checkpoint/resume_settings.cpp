#include "runtime/checkpoint/resume_settings.h"

#include <algorithm>
#include <bit>

#include "core/error.h"
#include "runtime/config/batch_plan.h"

namespace athanor {
namespace {

constexpr const char* kAllowed[] = {
    // Judged by content: base model files, and the micro-batches that the data becomes.
    "model_name_or_path", "adapter_name_or_path", "dataset", "dataset_dir", "template", "stage",
    "cutoff_len", "packing", "group_by_length", "template_date", "train_on_prompt", "mask_history",
    "max_samples", "val_size", "mix_strategy", "interleave_probs", "skip_bad",
    // Judged as rows a step.
    "gradient_accumulation_steps", "global_batch_size",
    // Where and when, not what.
    "do_train", "logging_steps", "eval_steps", "save_steps", "save_total_limit",
    "save_in_background", "max_restarts", "resume_from_checkpoint", "resume_with_changes",
    "output_dir", "overwrite_output_dir", "device", "threads", "pin_threads", "ranks",
    "memory_budget", "gradient_checkpointing", "data_cache", "overwrite_cache",
    "preprocessing_num_workers"};

constexpr const char* kRefused[] = {"finetuning_type",
                                    "train_from_scratch",
                                    "lora_rank",
                                    "lora_target",
                                    "rank_pattern",
                                    "use_dora",
                                    "additional_target",
                                    "optim",
                                    "per_device_train_batch_size"};

const std::string* value_of(const FlatSettings& settings, const std::string& key) {
  const auto found = std::ranges::find(settings, key, &FlatSettings::value_type::first);
  return found == settings.end() ? nullptr : &found->second;
}

// The learning rate of a step does not depend on how many there are.
bool rate_ignores_length(const RunConfig& config) {
  const bool constant = config.lr_scheduler_type == LrSchedulerOption::kConstant ||
                        config.lr_scheduler_type == LrSchedulerOption::kConstantWithWarmup;
  return constant && config.warmup_ratio.value_or(0.0) == 0.0;
}

ChangeRule rule_in(const std::string& key, const RunConfig& config) {
  const bool length = key == "max_steps" || key == "num_train_epochs";
  if (length && rate_ignores_length(config)) return ChangeRule::kAllowed;
  return change_rule(key);
}

int64_t saved_rows(const Manifest& manifest) {
  return manifest.numerics.micro_batches * manifest.numerics.rows_per_micro_batch;
}

}  // namespace

ChangeRule change_rule(const std::string& key) {
  if (std::ranges::find(kAllowed, key) != std::end(kAllowed) || key.starts_with("zero.")) {
    return ChangeRule::kAllowed;
  }
  if (std::ranges::find(kRefused, key) != std::end(kRefused)) return ChangeRule::kRefused;
  return ChangeRule::kNeedsFlag;
}

std::string saved_template_date(const Manifest& manifest) {
  const FlatSettings saved = flat_settings(manifest.config);
  const std::string* date = value_of(saved, "template_date");
  if (date == nullptr) return "";
  std::string text = *date;
  std::erase(text, '"');  // as YAML writes it; a date has none of its own
  return text;
}

std::vector<SettingChange> changed_settings(const Manifest& manifest, const RunConfig& now) {
  RunConfig plain;
  plain.lora_alpha = now.lora_alpha;
  const FlatSettings defaults = flat_settings(to_yaml(plain));
  const FlatSettings saved = flat_settings(manifest.config);
  const FlatSettings current = flat_settings(to_yaml(now));
  const auto value = [&](const FlatSettings& settings, const std::string& key) {
    const std::string* own = value_of(settings, key);
    if (own == nullptr) own = value_of(defaults, key);
    return own == nullptr ? std::string("nothing") : *own;
  };
  std::vector<SettingChange> changes;
  const auto compare = [&](const FlatSettings& keys) {
    for (const auto& [key, ignored] : keys) {
      if (key == "numerics.lanes") continue;  // kept where the config does not name them
      SettingChange change{key, value(saved, key), value(current, key)};
      const bool known = std::ranges::find(changes, key, &SettingChange::key) != changes.end();
      if (change.saved != change.now && !known) changes.push_back(std::move(change));
    }
  };
  compare(saved);
  compare(current);
  if (now.numerics.lanes.value_or(manifest.numerics.lanes) != manifest.numerics.lanes) {
    changes.push_back({"numerics.lanes", std::to_string(manifest.numerics.lanes),
                       std::to_string(*now.numerics.lanes)});
  }
  return changes;
}

std::vector<std::string> check_settings(const Manifest& manifest, const RunConfig& now) {
  std::string refused;
  std::vector<std::string> passed;
  for (const SettingChange& change : changed_settings(manifest, now)) {
    const ChangeRule rule = rule_in(change.key, now);
    if (rule == ChangeRule::kAllowed) continue;
    if (rule == ChangeRule::kNeedsFlag && now.resume_with_changes) {
      passed.push_back(change.key + ": the checkpoint has " + change.saved + ", from here on " +
                       change.now);
      continue;
    }
    if (!refused.empty()) refused += '\n';
    refused += change.key + ": the checkpoint has " + change.saved + ", found " + change.now +
               (rule == ChangeRule::kRefused
                    ? "; a run cannot go on with that"
                    : "; set it back, or resume_with_changes: true to go on with it");
  }
  if (!refused.empty()) throw Error(ErrorKind::kConfig, refused);
  return passed;
}

std::string adopt_numerics(RunConfig& config, const Manifest& manifest, int world) {
  if (!config.global_batch_size && !config.gradient_accumulation_steps) {
    config.global_batch_size = saved_rows(manifest);
  }
  if (config.numerics.lanes) return "";
  config.numerics.lanes = manifest.numerics.lanes;
  if (manifest.numerics.lanes >= world) return "";
  config.numerics.lanes = static_cast<int64_t>(std::bit_ceil(static_cast<unsigned>(world)));
  return "numerics.lanes: the checkpoint has " + std::to_string(manifest.numerics.lanes) +
         ", too few for " + std::to_string(world) + " ranks; with " +
         std::to_string(*config.numerics.lanes) +
         " the run goes on within rounding, not bit for bit";
}

void check_step_size(const RunConfig& config, const Manifest& manifest, int world) {
  const int64_t rows = resolve_batch(config, world).rows_per_step;
  if (rows == saved_rows(manifest)) return;
  throw Error(ErrorKind::kConfig,
              "global_batch_size: " + std::to_string(rows) + " rows a step on " +
                  std::to_string(world) + " ranks, the checkpoint has " +
                  std::to_string(saved_rows(manifest)) +
                  "; set global_batch_size: " + std::to_string(saved_rows(manifest)) +
                  " and leave gradient_accumulation_steps out");
}

}  // namespace athanor

// Conflicts between keys, settings of later versions, and what `auto` means in this one.
#include "runtime/config/config_validate.h"

#include <bit>
#include <ctime>
#include <string>

#include "core/error.h"
#include "runtime/config/config_keys.h"
#include "runtime/config/config_values.h"

namespace athanor {
namespace config_detail {
namespace {

void check_batch(const RunConfig& config, Problems& problems) {
  const int64_t rows = config.per_device_train_batch_size;
  if (config.global_batch_size && *config.global_batch_size % rows != 0) {
    problems.add("global_batch_size", std::to_string(*config.global_batch_size),
                 "a multiple of per_device_train_batch_size " + std::to_string(rows));
  }
  if (config.numerics.lanes &&
      !std::has_single_bit(static_cast<uint64_t>(*config.numerics.lanes))) {
    problems.add("numerics.lanes", std::to_string(*config.numerics.lanes), "a power of two");
  }
  if (config.warmup_steps.value_or(0) > 0 && config.warmup_ratio.value_or(0.0) > 0.0) {
    problems.add("warmup_ratio", format_real(*config.warmup_ratio),
                 "either it or warmup_steps " + std::to_string(*config.warmup_steps));
  }
}

void check_model(const RunConfig& config, Problems& problems) {
  const std::string adapter = in_quotes(config.adapter_name_or_path, 120);
  if (!config.adapter_name_or_path.empty() && config.finetuning_type != FinetuningOption::kLora) {
    problems.add("adapter_name_or_path", adapter, "finetuning_type: lora to continue an adapter");
  }
  if (!config.adapter_name_or_path.empty() && config.train_from_scratch) {
    problems.add("adapter_name_or_path", adapter,
                 "train_from_scratch: false, an adapter belongs to trained weights");
  }
  for (const std::string& name : config.additional_target) {
    if (name.empty()) problems.add("additional_target", "an empty name", "names of modules");
  }
  if (!config.additional_target.empty() && config.finetuning_type != FinetuningOption::kLora) {
    problems.add("additional_target", in_quotes(config.additional_target.front(), 120),
                 "finetuning_type: lora; full training trains every module");
  }
  if (config.lora_target.empty()) {
    problems.add("lora_target", "an empty list", "all, module names or a regular expression");
  }
  for (const std::string& target : config.lora_target) {
    if (config.lora_target.size() > 1 && (target == "all" || is_pattern(target))) {
      problems.add("lora_target", in_quotes(target, 120) + " in a list",
                   "either module names, or all or one regular expression alone");
    }
  }
}

bool is_date(const std::string& text) {
  std::tm when = {};
  const char* rest = strptime(text.c_str(), "%Y-%m-%d", &when);
  return rest != nullptr && *rest == '\0' && text.size() == 10;
}

void check_rest(const RunConfig& config, Problems& problems) {
  if (!config.do_train) {
    problems.add("do_train", "false", "true (athanor eval only evaluates)");
  }
  if (config.train_on_prompt && config.mask_history) {
    problems.add("mask_history", "true", "false, or train_on_prompt: false");
  }
  if (config.group_by_length && config.packing) {
    problems.add("group_by_length", "true", "false, or packing: false");
  }
  if (!config.template_date.empty() && !is_date(config.template_date)) {
    problems.add("template_date", in_quotes(config.template_date, 120), "a date, YYYY-MM-DD");
  }
  if (config.data_cache.empty()) problems.add("data_cache", "nothing", "auto, none or a folder");
  const bool nvme = config.zero.offload_param == OffloadOption::kNvme ||
                    config.zero.offload_optimizer == OffloadOption::kNvme ||
                    config.zero.offload_activations == OffloadOption::kNvme;
  if (nvme && config.zero.nvme_path.empty()) {
    problems.add("zero.nvme_path", "nothing", "a folder, because of offload to nvme");
  }
}

}  // namespace

void check_conflicts(const RunConfig& config, Problems& problems) {
  check_batch(config, problems);
  check_model(config, problems);
  check_rest(config, problems);
}

}  // namespace config_detail

void refuse_unimplemented(const RunConfig& config) {
  if (config.device != DeviceOption::kCuda) return;
  throw Error(ErrorKind::kConfig, "device: cuda: not available in this build, needed cpu or auto");
}

void resolve_auto(RunConfig& config) {
  if (config.device == DeviceOption::kAuto) config.device = DeviceOption::kCpu;
  if (config.zero.schedule == ScheduleOption::kAuto) {
    config.zero.schedule = ScheduleOption::kBatchMajor;
  }
  if (config.gradient_checkpointing == CheckpointingOption::kAuto) {
    config.gradient_checkpointing = CheckpointingOption::kNone;
  }
  if (config.save_in_background == BackgroundOption::kAuto) {
    config.save_in_background = BackgroundOption::kOff;
  }
}

bool lora_target_is_pattern(const RunConfig& config) {
  return config.lora_target.size() == 1 && config_detail::is_pattern(config.lora_target.front());
}

}  // namespace athanor

// The one table of keys: what config.yaml, overrides, training_args.yaml and suggestions know.
// describe() shows every key with its variable and its limits to a visitor, in the order in which
// training_args.yaml lists them. Internal to runtime/config.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/config/run_config.h"

namespace athanor::config_detail {

// A name of an enumerator. The first one is written, further ones are accepted.
template <class E>
struct Choice {
  E value;
  const char* name;
};

template <class E, size_t N>
constexpr std::span<const Choice<E>> choices(const Choice<E> (&table)[N]) {
  return table;
}

inline constexpr Choice<StageOption> kStages[] = {{StageOption::kSft, "sft"},
                                                  {StageOption::kPt, "pt"}};
inline constexpr Choice<MixOption> kMixes[] = {{MixOption::kConcat, "concat"},
                                               {MixOption::kInterleaveUnder, "interleave_under"},
                                               {MixOption::kInterleaveOver, "interleave_over"}};
inline constexpr Choice<FinetuningOption> kFinetuning[] = {{FinetuningOption::kLora, "lora"},
                                                           {FinetuningOption::kFull, "full"}};
inline constexpr Choice<LrSchedulerOption> kLrSchedulers[] = {
    {LrSchedulerOption::kConstant, "constant"},
    {LrSchedulerOption::kConstantWithWarmup, "constant_with_warmup"},
    {LrSchedulerOption::kLinear, "linear"},
    {LrSchedulerOption::kCosine, "cosine"}};
// transformers calls the same AdamW by the name of its implementation.
inline constexpr Choice<OptimizerOption> kOptimizers[] = {
    {OptimizerOption::kAdamW, "adamw"},
    {OptimizerOption::kSgd, "sgd"},
    {OptimizerOption::kAdamW8Bit, "adamw_8bit"},
    {OptimizerOption::kLion, "lion"},
    {OptimizerOption::kAdamW, "adamw_torch"},
    {OptimizerOption::kAdamW, "adamw_torch_fused"},
    {OptimizerOption::kAdamW8Bit, "adamw_bnb_8bit"}};
inline constexpr Choice<CheckpointingOption> kCheckpointing[] = {
    {CheckpointingOption::kNone, "none"},  {CheckpointingOption::kSelective, "selective"},
    {CheckpointingOption::kFull, "full"},  {CheckpointingOption::kAuto, "auto"},
    {CheckpointingOption::kFull, "true"},  {CheckpointingOption::kFull, "yes"},
    {CheckpointingOption::kNone, "false"}, {CheckpointingOption::kNone, "no"}};
inline constexpr Choice<DeviceOption> kDevices[] = {
    {DeviceOption::kAuto, "auto"}, {DeviceOption::kCpu, "cpu"}, {DeviceOption::kCuda, "cuda"}};
inline constexpr Choice<OffloadOption> kOffloads[] = {
    {OffloadOption::kNone, "none"}, {OffloadOption::kCpu, "cpu"}, {OffloadOption::kNvme, "nvme"}};
inline constexpr Choice<OffloadOption> kGradientOffloads[] = {{OffloadOption::kNone, "none"},
                                                              {OffloadOption::kCpu, "cpu"}};
inline constexpr Choice<ScheduleOption> kSchedules[] = {
    {ScheduleOption::kAuto, "auto"},
    {ScheduleOption::kBatchMajor, "batch_major"},
    {ScheduleOption::kLayerMajor, "layer_major"}};
inline constexpr Choice<ReduceOption> kReduces[] = {{ReduceOption::kStep, "step"},
                                                    {ReduceOption::kMicroStep, "micro_step"}};

inline constexpr Choice<BackgroundOption> kBackgrounds[] = {{BackgroundOption::kAuto, "auto"},
                                                            {BackgroundOption::kOn, "true"},
                                                            {BackgroundOption::kOff, "false"},
                                                            {BackgroundOption::kOn, "yes"},
                                                            {BackgroundOption::kOff, "no"}};

struct IntRange {
  int64_t min;
  int64_t max;
};
// The limits keep rows * accumulation * world and the like far from overflow.
inline constexpr IntRange kPositive{1, int64_t{1} << 40};
inline constexpr IntRange kFromZero{0, int64_t{1} << 40};
inline constexpr IntRange kSmall{1, int64_t{1} << 20};

struct RealRange {
  double min;
  double max;
  bool min_included = true;
  bool max_included = true;
};
inline constexpr double kHuge = std::numeric_limits<double>::max();
inline constexpr RealRange kNonNegative{0.0, kHuge};
inline constexpr RealRange kAboveZero{0.0, kHuge, false};
inline constexpr RealRange kShare{0.0, 1.0};
inline constexpr RealRange kBelowOne{0.0, 1.0, true, false};

inline constexpr const char* kBlocks[] = {"zero", "numerics"};

template <class Visitor, class Config>
void describe_model_and_data(Visitor& v, Config& c) {
  v.text("model_name_or_path", c.model_name_or_path);
  v.text("adapter_name_or_path", c.adapter_name_or_path);
  v.choice("stage", c.stage, choices(kStages));
  v.boolean("do_train", c.do_train);
  v.choice("finetuning_type", c.finetuning_type, choices(kFinetuning));
  v.boolean("train_from_scratch", c.train_from_scratch);
  v.integer("lora_rank", c.lora_rank, kSmall);
  v.real("lora_alpha", c.lora_alpha, kAboveZero);
  v.real("lora_dropout", c.lora_dropout, kBelowOne);
  v.list_or_pattern("lora_target", c.lora_target);
  v.boolean("use_rslora", c.use_rslora);
  v.boolean("use_dora", c.use_dora);
  v.integers("rank_pattern", c.rank_pattern, kSmall);
  v.reals("alpha_pattern", c.alpha_pattern, kAboveZero);
  v.list("additional_target", c.additional_target);
  v.list("dataset", c.dataset);
  v.text("dataset_dir", c.dataset_dir);
  v.choice("mix_strategy", c.mix_strategy, choices(kMixes));
  v.list("interleave_probs", c.interleave_probs);
  v.boolean("skip_bad", c.skip_bad);
  v.text("template", c.template_name);
  v.text("template_date", c.template_date);
  v.integer("cutoff_len", c.cutoff_len, kPositive);
  v.boolean("packing", c.packing);
  v.boolean("group_by_length", c.group_by_length);
  v.boolean("train_on_prompt", c.train_on_prompt);
  v.boolean("mask_history", c.mask_history);
  v.integer("max_samples", c.max_samples, kPositive);
  v.real("val_size", c.val_size, kNonNegative);
  v.text("data_cache", c.data_cache);
  v.boolean("overwrite_cache", c.overwrite_cache);
  v.integer("preprocessing_num_workers", c.preprocessing_num_workers, IntRange{1, 1024});
}

template <class Visitor, class Config>
void describe_training(Visitor& v, Config& c) {
  v.integer("per_device_train_batch_size", c.per_device_train_batch_size, kSmall);
  v.integer("gradient_accumulation_steps", c.gradient_accumulation_steps, kSmall);
  v.integer("global_batch_size", c.global_batch_size, kPositive);
  v.real("learning_rate", c.learning_rate, kNonNegative);
  v.choice("lr_scheduler_type", c.lr_scheduler_type, choices(kLrSchedulers));
  v.integer("warmup_steps", c.warmup_steps, kFromZero);
  v.real("warmup_ratio", c.warmup_ratio, kShare);
  v.real("weight_decay", c.weight_decay, kNonNegative);
  v.real("max_grad_norm", c.max_grad_norm, kNonNegative);
  v.choice("optim", c.optim, choices(kOptimizers));
  v.real("adam_beta1", c.adam_beta1, kBelowOne);
  v.real("adam_beta2", c.adam_beta2, kBelowOne);
  v.real("adam_epsilon", c.adam_epsilon, kNonNegative);
  v.real("num_train_epochs", c.num_train_epochs, kAboveZero);
  v.integer_or("max_steps", c.max_steps, kPositive, "-1");  // transformers' "not set"
  v.integer("logging_steps", c.logging_steps, kPositive);
  v.integer("eval_steps", c.eval_steps, kPositive);
  v.integer("save_steps", c.save_steps, kFromZero);
  v.integer("seed", c.seed, IntRange{0, std::numeric_limits<int64_t>::max()});
}

template <class Visitor, class Config>
void describe_placement(Visitor& v, Config& c) {
  v.boolean("bf16", c.bf16);
  v.choice("gradient_checkpointing", c.gradient_checkpointing, choices(kCheckpointing));
  v.choice("device", c.device, choices(kDevices));
  v.integer_or("threads", c.threads, IntRange{1, 4096}, "auto");
  v.boolean("pin_threads", c.pin_threads);
  v.integer("ranks", c.ranks, IntRange{1, 4096});
  v.bytes("memory_budget", c.memory_budget);
  v.integer("zero.stage", c.zero.stage, IntRange{0, 3});
  v.choice("zero.offload_param", c.zero.offload_param, choices(kOffloads));
  v.choice("zero.offload_gradients", c.zero.offload_gradients, choices(kGradientOffloads));
  v.choice("zero.offload_optimizer", c.zero.offload_optimizer, choices(kOffloads));
  v.choice("zero.offload_activations", c.zero.offload_activations, choices(kOffloads));
  v.text("zero.nvme_path", c.zero.nvme_path);
  v.choice("zero.schedule", c.zero.schedule, choices(kSchedules));
  v.integer("zero.persist_below", c.zero.persist_below, kFromZero);
  v.integer("numerics.lanes", c.numerics.lanes, kSmall);
  v.choice("numerics.reduce", c.numerics.reduce, choices(kReduces));
  v.text("output_dir", c.output_dir);
  v.boolean("overwrite_output_dir", c.overwrite_output_dir);
  v.text("resume_from_checkpoint", c.resume_from_checkpoint);
  v.boolean("resume_with_changes", c.resume_with_changes);
  v.choice("save_in_background", c.save_in_background, choices(kBackgrounds));
  v.integer_or("save_total_limit", c.save_total_limit, kPositive, "-1");
  v.integer("max_restarts", c.max_restarts, kFromZero);
}

template <class Visitor, class Config>
void describe(Visitor& v, Config& c) {
  describe_model_and_data(v, c);
  describe_training(v, c);
  describe_placement(v, c);
}

// The visitor that only collects the names.
struct KeyNames {
  std::vector<const char*> names;

  void add(const char* key) { names.push_back(key); }
  void text(const char* key, const std::string&) { add(key); }
  void boolean(const char* key, bool) { add(key); }
  void list(const char* key, const std::vector<std::string>&) { add(key); }
  void list_or_pattern(const char* key, const std::vector<std::string>&) { add(key); }
  void integers(const char* key, const std::vector<std::pair<std::string, int64_t>>&, IntRange) {
    add(key);
  }
  void reals(const char* key, const std::vector<std::pair<std::string, double>>&, RealRange) {
    add(key);
  }
  void bytes(const char* key, const std::optional<int64_t>&) { add(key); }
  void integer(const char* key, const std::optional<int64_t>&, IntRange) { add(key); }
  void integer_or(const char* key, const std::optional<int64_t>&, IntRange, const char*) {
    add(key);
  }
  void real(const char* key, const std::optional<double>&, RealRange) { add(key); }
  template <class E>
  void choice(const char* key, E, std::span<const Choice<E>>) {
    add(key);
  }
};

}  // namespace athanor::config_detail

#include "runtime/train/session.h"

#include <string>

#include "core/log.h"

namespace athanor {
namespace {

LoraOptions lora_options(const RunConfig& config) {
  LoraOptions lora;
  if (!config.adapter_name_or_path.empty()) {  // it keeps its own shape
    lora = read_lora_options(config.adapter_name_or_path);
  } else {
    lora.rank = config.lora_rank;
    lora.alpha = config.lora_alpha;
    lora.rslora = config.use_rslora;
    lora.dora = config.use_dora;
    lora.rank_pattern = config.rank_pattern;
    lora.alpha_pattern = config.alpha_pattern;
    lora.saved = config.additional_target;
    lora.targets = config.lora_target;
    lora.is_pattern = lora_target_is_pattern(config);
  }
  lora.dropout = config.lora_dropout;
  return lora;
}

ScheduleOrder schedule_order(ScheduleOption option) {
  return option == ScheduleOption::kLayerMajor ? ScheduleOrder::kLayerMajor
                                               : ScheduleOrder::kBatchMajor;
}

Recomputation recomputation(CheckpointingOption option) {
  switch (option) {
    case CheckpointingOption::kSelective:
      return Recomputation::kSelective;
    case CheckpointingOption::kFull:
      return Recomputation::kFull;
    case CheckpointingOption::kNone:
    case CheckpointingOption::kAuto:  // resolved before
      break;
  }
  return Recomputation::kNone;
}

OptimizerKind optimizer_kind(OptimizerOption option) {
  switch (option) {
    case OptimizerOption::kAdamW:
      return OptimizerKind::kAdamW;
    case OptimizerOption::kAdamW8Bit:
      return OptimizerKind::kAdamW8Bit;
    case OptimizerOption::kLion:
      return OptimizerKind::kLion;
    case OptimizerOption::kSgd:
      return OptimizerKind::kSgd;
  }
  throw Error(ErrorKind::kInternal, "not an OptimizerOption");
}

TrainerOptions trainer_options(const RunConfig& config, const BatchPlan& batch) {
  TrainerOptions options;
  options.dtype = config.bf16 ? DType::kBF16 : DType::kF32;
  options.zero_stage = static_cast<int>(config.zero.stage);
  options.persist_below = config.zero.persist_below;
  options.disk.parameters = config.zero.offload_param == OffloadOption::kNvme;
  options.disk.optimizer = config.zero.offload_optimizer == OffloadOption::kNvme;
  options.disk.boundaries = config.zero.offload_activations == OffloadOption::kNvme;
  options.disk_directory = config.zero.nvme_path;
  options.order = schedule_order(config.zero.schedule);
  options.recompute = recomputation(config.gradient_checkpointing);
  options.reduce = config.numerics.reduce == ReduceOption::kMicroStep ? ReduceMode::kMicroStep
                                                                      : ReduceMode::kStep;
  options.lanes = static_cast<int>(batch.lanes);
  options.micro_batches = batch.micro_batches;
  options.rows = batch.rows_per_micro_batch;
  options.cutoff_len = config.cutoff_len;
  options.optimizer.kind = optimizer_kind(config.optim);
  options.optimizer.adamw = {config.adam_beta1, config.adam_beta2, config.adam_epsilon};
  options.optimizer.weight_decay = config.weight_decay;
  options.max_grad_norm = config.max_grad_norm;
  options.seed = static_cast<uint64_t>(config.seed);
  // State on disk is read through while training waits: a copy of it would be in memory.
  options.checkpoint_copy = config.save_steps > 0 &&
                            config.save_in_background == BackgroundOption::kOn &&
                            !options.disk.optimizer;
  return options;
}

}  // namespace

ResolvedRun resolve_run(const RunConfig& config, int world_size) {
  ResolvedRun run;
  run.config = config;
  run.world_size = world_size;
  run.batch = resolve_batch(config, world_size);
  const TransformerConfig model = load_transformer_config(config.model_name_or_path);
  const bool lora = config.finetuning_type == FinetuningOption::kLora;
  if (!lora && !config.adapter_name_or_path.empty()) {
    throw Error(ErrorKind::kConfig,
                "adapter_name_or_path: found an adapter, needed finetuning_type: lora");
  }
  run.spec =
      build_model_spec(model, lora ? std::optional(lora_options(config)) : std::nullopt, !lora);
  run.trainer = trainer_options(config, run.batch);
  run.trainer.frozen_in_place =
      !config.train_from_scratch && model.stored_dtype == run.trainer.dtype;
  return run;
}

void warn_about(const ResolvedRun& run) {
  const int64_t positions = run.spec.config.max_position_embeddings;
  if (run.config.cutoff_len <= positions) return;
  log_warning("cutoff_len " + std::to_string(run.config.cutoff_len) +
              " is beyond the model's max_position_embeddings " + std::to_string(positions));
}

RunWeights::RunWeights(const ResolvedRun& run) {
  const RunConfig& config = run.config;
  if (!config.train_from_scratch) base_ = std::make_unique<ModelFiles>(config.model_name_or_path);
  if (!config.adapter_name_or_path.empty()) {
    adapter_ = std::make_unique<SafetensorsFile>(
        checked_model_file(config.adapter_name_or_path, kPeftWeightsFile));
  }
  source_ = std::make_unique<ModelParamSource>(
      ParamOrigins{base_.get(), adapter_.get(), static_cast<uint64_t>(config.seed),
                   run.spec.config.initializer_range, 1 - run.spec.config.norm_weight_offset,
                   run.spec.head_from_embedding});
  source_->check(run.spec.units);
}

int64_t RunWeights::bytes_read() const {
  return (base_ ? base_->data_bytes_read() : 0) + (adapter_ ? adapter_->data_bytes_read() : 0);
}

CoreRequest core_request(const RunConfig& config, int ranks_on_host, int local_rank) {
  CoreRequest request{ranks_on_host, local_rank, std::nullopt, config.pin_threads};
  if (config.threads) request.threads = static_cast<int>(*config.threads);
  return request;
}

int threads_per_rank(const RunConfig& config, int ranks_on_host) {
  return share_cores(host_cores(), core_request(config, ranks_on_host, 0)).threads;
}

}  // namespace athanor

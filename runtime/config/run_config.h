// The configuration of a run: every key of config.yaml, typed, with its default. load_run_config
// turns file and overrides into a RunConfig or one Error(kConfig) that lists all problems. An empty
// string, an empty list or an absent optional means that the key was not given.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace athanor {

enum class StageOption { kSft, kPt };
enum class MixOption { kConcat, kInterleaveUnder, kInterleaveOver };
enum class FinetuningOption { kLora, kFull };
enum class LrSchedulerOption { kConstant, kConstantWithWarmup, kLinear, kCosine };
enum class OptimizerOption { kAdamW, kSgd, kAdamW8Bit, kLion };
enum class CheckpointingOption { kNone, kSelective, kFull, kAuto };
enum class DeviceOption { kAuto, kCpu, kCuda };
enum class OffloadOption { kNone, kCpu, kNvme };
enum class ScheduleOption { kAuto, kBatchMajor, kLayerMajor };
enum class ReduceOption { kStep, kMicroStep };
enum class BackgroundOption { kAuto, kOn, kOff };

// The block `zero`.
struct ZeroConfig {
  int64_t stage = 0;
  OffloadOption offload_param = OffloadOption::kNone;
  OffloadOption offload_gradients = OffloadOption::kNone;
  OffloadOption offload_optimizer = OffloadOption::kNone;
  OffloadOption offload_activations = OffloadOption::kNone;
  std::string nvme_path;
  ScheduleOption schedule = ScheduleOption::kAuto;
  int64_t persist_below = 0;  // elements

  bool operator==(const ZeroConfig&) const = default;
};

// The block `numerics`.
struct NumericsConfig {
  std::optional<int64_t> lanes;  // a power of two; absent: the world size at first start
  ReduceOption reduce = ReduceOption::kStep;

  bool operator==(const NumericsConfig&) const = default;
};

struct RunConfig {
  std::string model_name_or_path;
  std::string adapter_name_or_path;

  StageOption stage = StageOption::kSft;
  bool do_train = true;
  FinetuningOption finetuning_type = FinetuningOption::kLora;
  bool train_from_scratch = false;

  int64_t lora_rank = 8;
  double lora_alpha = 16.0;  // absent: 2 * lora_rank, filled in by load_run_config
  double lora_dropout = 0.0;
  std::vector<std::string> lora_target = {"all"};  // see lora_target_is_pattern
  bool use_rslora = false;
  bool use_dora = false;
  // By regular expressions of module paths; the first that matches wins over rank and alpha.
  std::vector<std::pair<std::string, int64_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;
  std::vector<std::string> additional_target;

  std::vector<std::string> dataset;
  std::string dataset_dir = "data";
  MixOption mix_strategy = MixOption::kConcat;
  std::vector<std::string> interleave_probs;  // numbers, one for each dataset
  bool skip_bad = false;                      // leave bad records out
  std::string template_name;  // key `template`; absent: the model's own chat template
  std::string template_date;  // YYYY-MM-DD that templates see; absent: the day of the first start
  int64_t cutoff_len = 2048;
  bool packing = false;
  bool group_by_length = false;  // rows of like length in a micro-batch
  bool train_on_prompt = false;
  bool mask_history = false;
  std::optional<int64_t> max_samples;
  double val_size = 0.0;            // below 1 a share of the data, from 1 on a number of rows
  std::string data_cache = "auto";  // of tokenised data: auto, none or a folder
  bool overwrite_cache = false;     // tokenise again
  std::optional<int64_t> preprocessing_num_workers;  // threads that tokenise; absent: all cores

  int64_t per_device_train_batch_size = 1;
  std::optional<int64_t> gradient_accumulation_steps;
  std::optional<int64_t> global_batch_size;

  double learning_rate = 5e-5;
  LrSchedulerOption lr_scheduler_type = LrSchedulerOption::kLinear;
  std::optional<int64_t> warmup_steps;
  std::optional<double> warmup_ratio;
  double weight_decay = 0.0;
  double max_grad_norm = 1.0;  // 0: no clipping

  OptimizerOption optim = OptimizerOption::kAdamW;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_epsilon = 1e-8;

  double num_train_epochs = 3.0;
  std::optional<int64_t> max_steps;  // wins over num_train_epochs
  int64_t logging_steps = 10;
  std::optional<int64_t> eval_steps;
  int64_t save_steps = 500;  // 0: only at the end
  int64_t seed = 42;

  bool bf16 = false;
  CheckpointingOption gradient_checkpointing = CheckpointingOption::kAuto;
  DeviceOption device = DeviceOption::kAuto;
  std::optional<int64_t> threads;        // per rank; absent: auto
  bool pin_threads = true;               // to cores, where they fill a rank's share
  int64_t ranks = 1;                     // thread ranks in one process
  std::optional<int64_t> memory_budget;  // bytes, of all ranks of a host

  ZeroConfig zero;
  NumericsConfig numerics;

  std::string output_dir;
  bool overwrite_output_dir = false;
  std::string resume_from_checkpoint;  // "auto", a checkpoint or an output folder
  bool resume_with_changes = false;    // of settings that decide the numbers (docs/checkpoints.md)
  BackgroundOption save_in_background = BackgroundOption::kAuto;  // from a copy, which takes memory
  std::optional<int64_t> save_total_limit;
  std::optional<int64_t> max_restarts;

  bool operator==(const RunConfig&) const = default;
};

// What `athanor train` cannot do without; pass it as `required`.
inline constexpr std::string_view kTrainRequiredKeys[] = {"model_name_or_path", "dataset",
                                                          "output_dir"};

// `overrides` are key=value, dotted for blocks (zero.stage=3); they win over the file, and null
// takes a key of the file back. A missing file is kConfig, too.
RunConfig load_run_config(const std::filesystem::path& path,
                          std::span<const std::string> overrides = {},
                          std::span<const std::string_view> required = {});

// training_args.yaml: every key that has a value; load_run_config gives the same RunConfig back.
std::string to_yaml(const RunConfig& config);

// Key (dotted for blocks) and value, as to_yaml writes them, of its lines.
using FlatSettings = std::vector<std::pair<std::string, std::string>>;
FlatSettings flat_settings(const std::string& yaml);

// Throws one Error(kConfig) with a line for every setting that this build parses but does not
// carry out. Call it right after loading, before resolve_auto.
void refuse_unimplemented(const RunConfig& config);

// Replaces `auto` by what holds without a plan: device cpu, schedule batch_major, no recomputation,
// saves in the foreground. Explicit values stay as they are. A run decides all but the device by
// dry runs first (decide_auto).
void resolve_auto(RunConfig& config);

// lora_target is one regular expression rather than module names.
bool lora_target_is_pattern(const RunConfig& config);

}  // namespace athanor

// The verbs of the athanor command. Each returns an exit code or throws Error.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runtime/train/data_cache.h"

namespace athanor {

const char* program_version();

struct ConfigArguments {
  std::string config;
  std::vector<std::string> overrides;  // key=value
};

struct TrainArguments : ConfigArguments {
  bool force = false;   // start although the plan does not fit
  std::string profile;  // file of a Chrome trace of what rank 0 ran
};
int run_train(const TrainArguments& arguments, const std::atomic<int>& stop);

struct LaunchArguments : TrainArguments {
  int ranks = 0;
  std::string hostfile;  // empty: all here
  std::optional<int> min_ranks;
  double hang_timeout = 60;  // seconds; 0: never
};
int run_launch(const LaunchArguments& arguments);

struct StatusArguments {
  std::string folder;  // output folder of a run that `launch` has started
  bool stop = false;
  bool save = false;
  bool pause = false;
  bool resume = false;
};
int run_status(const StatusArguments& arguments);

struct CheckpointArguments {
  std::string folder;  // an output folder; for verify also one checkpoint
  int64_t keep = 1;
  bool dry_run = false;
};
int list_checkpoints_verb(const CheckpointArguments& arguments);
int verify_checkpoints_verb(const CheckpointArguments& arguments);
int prune_checkpoints_verb(const CheckpointArguments& arguments);

struct PlanArguments : ConfigArguments {
  int world = 0;  // 0: as the config and the launcher say
  std::string machine = "here";
  bool json = false;
  bool all_ranks = false;
  bool compare = false;  // stages x offloads x schedules x recomputation instead of one plan
  std::string timeline;  // file of a Chrome trace of the planned step
};
int run_plan(const PlanArguments& arguments);

struct GenerateArguments {
  std::string model;
  std::string adapter;
  std::string prompt;
  int64_t max_new_tokens = 256;
  double temperature = 0;
  double top_p = 1;
  uint64_t seed = 42;
  bool chat = false;
  std::string chat_template;  // as the key `template`; empty: the model's own
  bool bf16 = false;
  int threads = 0;        // 0: all cores
  std::string logits_of;  // JSON list of ids: write their logits instead of generating
  std::string logits_file;
};
int run_generate(const GenerateArguments& arguments);

struct ChatArguments {
  std::string model;
  std::string adapter;
  std::string chat_template;  // as the key `template`; empty: the model's own
  std::string system;         // a system message; empty: none
  int64_t max_new_tokens = 512;
  double temperature = 0;
  double top_p = 1;
  uint64_t seed = 42;
  bool bf16 = false;
  int threads = 0;  // 0: all cores
};
// A stop request ends an answer; between answers it ends the chat.
int run_chat(const ChatArguments& arguments, std::atomic<int>& stop);

struct TokenizeArguments {
  std::string model;
  bool lines = false;
  bool decode = false;
  bool special = false;
};
int run_tokenize(const TokenizeArguments& arguments);

// Where tokenised data are kept with data_cache: auto: athanor/data in $XDG_CACHE_HOME or
// ~/.cache; empty when the environment names neither.
std::filesystem::path default_data_cache();
const char* cache_use_name(const CacheUse& use);  // off, hit or miss
std::string cache_text(const CacheUse& use);      // behind a line about the data

struct DataArguments : ConfigArguments {
  bool json = false;
  int64_t samples = 3;  // shown
};
int run_data(const DataArguments& arguments);

struct RenderArguments {
  std::string model;
  std::string template_file;
  bool generation_prompt = false;
  std::optional<std::string> bos, eos;  // absent: of tokenizer_config.json
  std::string tools;                    // JSON file
  std::string date;                     // what strftime_now sees; empty: today
};
int run_render(const RenderArguments& arguments);

struct EvalArguments : ConfigArguments {
  bool base = false;  // the model the run started from, not what it left in output_dir
  bool json = false;
};
int run_eval(const EvalArguments& arguments);

struct ExportArguments {
  std::string model;
  std::string adapter;
  std::string output;
  std::string dtype;  // empty: as stored
  bool overwrite = false;
  bool probe = true;  // compare logits before and after
  int threads = 0;    // 0: all cores
};
int run_export(const ExportArguments& arguments);

struct InitArguments {
  std::string model;
};
int run_init(const InitArguments& arguments);

struct DoctorArguments {
  std::string disk = ".";  // the folder whose disk is measured
  bool json = false;
};
int run_doctor(const DoctorArguments& arguments);

}  // namespace athanor

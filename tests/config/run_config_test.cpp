// Whole configs: what loads, what is refused, and that all problems come in one pass.
#include "runtime/config/run_config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"

namespace athanor {
namespace {

using Strings = std::vector<std::string>;

class RunConfigFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("athanor-config-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& text) const {
    const std::filesystem::path path = folder_ / "config.yaml";
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  RunConfig load(const std::string& text, const Strings& overrides = {}) const {
    return load_run_config(write(text), overrides);
  }

  // The lines of the error, each without the folder.
  Strings problems(const std::string& text, const Strings& overrides = {},
                   std::span<const std::string_view> required = {}) const {
    try {
      load_run_config(write(text), overrides, required);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      return lines(error.message());
    }
    return {};
  }

  Strings lines(const std::string& message) const {
    Strings result;
    std::istringstream stream(message);
    const std::string prefix = folder_.string() + "/";
    for (std::string line; std::getline(stream, line);) {
      result.push_back(line.starts_with(prefix) ? line.substr(prefix.size()) : line);
    }
    return result;
  }

  std::filesystem::path folder_;
};

TEST_F(RunConfigFile, ReadsALlamaFactoryConfig) {
  const RunConfig config = load(R"(
model_name_or_path: models/tiny   # a comment
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_target: q_proj, v_proj
dataset: identity,alpaca_en_demo
template: llama3
cutoff_len: 1024
max_samples: 1000
output_dir: "out dir"
overwrite_output_dir: yes
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
learning_rate: 1e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: True
gradient_checkpointing: True
optim: adamw_torch
max_steps: -1
memory_budget: 16GiB
resume_from_checkpoint: null
zero: {stage: 3, offload_param: cpu}
numerics:
  lanes: 4
)");
  EXPECT_EQ(config.model_name_or_path, "models/tiny");
  EXPECT_EQ(config.lora_rank, 16);
  EXPECT_EQ(config.lora_alpha, 32.0);
  EXPECT_EQ(config.lora_target, (Strings{"q_proj", "v_proj"}));
  EXPECT_EQ(config.dataset, (Strings{"identity", "alpaca_en_demo"}));
  EXPECT_EQ(config.template_name, "llama3");
  EXPECT_EQ(config.output_dir, "out dir");
  EXPECT_TRUE(config.overwrite_output_dir);
  EXPECT_EQ(config.gradient_accumulation_steps, 8);
  EXPECT_EQ(config.learning_rate, 1e-4);
  EXPECT_EQ(config.lr_scheduler_type, LrSchedulerOption::kCosine);
  EXPECT_EQ(config.warmup_ratio, 0.1);
  EXPECT_TRUE(config.bf16);
  EXPECT_EQ(config.gradient_checkpointing, CheckpointingOption::kFull);
  EXPECT_EQ(config.optim, OptimizerOption::kAdamW);
  EXPECT_EQ(config.max_steps, std::nullopt);
  EXPECT_EQ(config.memory_budget, int64_t{16} << 30);
  EXPECT_EQ(config.resume_from_checkpoint, "");
  EXPECT_EQ(config.zero.stage, 3);
  EXPECT_EQ(config.zero.offload_param, OffloadOption::kCpu);
  EXPECT_EQ(config.numerics.lanes, 4);
}

TEST_F(RunConfigFile, OverridesWin) {
  const RunConfig config =
      load("lora_rank: 4\nmax_samples: 5\nzero: {stage: 1, persist_below: 7}\n",
           {"lora_rank=8", "zero.stage=3", "dataset=[a, b]", "learning_rate=2e-3",
            "max_samples=null", "output_dir=x=y", "seed=1", "seed=2", "numerics={lanes: 2}"});
  EXPECT_EQ(config.lora_rank, 8);
  EXPECT_EQ(config.zero.stage, 3);
  EXPECT_EQ(config.zero.persist_below, 7);
  EXPECT_EQ(config.dataset, (Strings{"a", "b"}));
  EXPECT_EQ(config.learning_rate, 2e-3);
  EXPECT_EQ(config.max_samples, std::nullopt);
  EXPECT_EQ(config.output_dir, "x=y");
  EXPECT_EQ(config.seed, 2);
  EXPECT_EQ(config.numerics.lanes, 2);
}

TEST_F(RunConfigFile, ReadsListsAndPatterns) {
  EXPECT_EQ(load("lora_target:\n  - q_proj\n  - v_proj\n").lora_target,
            (Strings{"q_proj", "v_proj"}));
  const RunConfig pattern = load(R"(lora_target: '.*layers\.[0-9]{1,2}\.q_proj')");
  EXPECT_EQ(pattern.lora_target, (Strings{R"(.*layers\.[0-9]{1,2}\.q_proj)"}));
  EXPECT_TRUE(lora_target_is_pattern(pattern));
  EXPECT_FALSE(lora_target_is_pattern(load("lora_target: self_attn.q_proj")));
}

TEST_F(RunConfigFile, AnEmptyFileGivesTheDefaults) {
  EXPECT_EQ(load(""), RunConfig());
  EXPECT_EQ(load("# nothing\n"), RunConfig());
  EXPECT_EQ(load("zero:\n"), RunConfig());
}

TEST_F(RunConfigFile, ReportsAllProblemsInOnePass) {
  const Strings found = problems(
      "lora_rnk: 8\n"
      "lora_rank: eight\n"
      "lora_dropout: 1.0\n"
      "stage: dpo\n"
      "seed: 1\n"
      "seed: 2\n"
      "bf16: [true]\n"
      "offload_param: cpu\n"
      "zero:\n"
      "  stage: 4\n"
      "  offlod_param: cpu\n"
      "per_device_train_batch_size: 4\n"
      "global_batch_size: 6\n"
      "numerics: 3\n",
      {"learning_rate=fast", "nonsense"}, kTrainRequiredKeys);
  const Strings expected = {
      "config.yaml: model_name_or_path: found nothing, needed a value",
      "config.yaml: dataset: found nothing, needed a value",
      "config.yaml: output_dir: found nothing, needed a value",
      "config.yaml:1: lora_rnk: found an unknown key, needed a known one (nearest: lora_rank)",
      "config.yaml:2: lora_rank: found \"eight\", needed an integer from 1 to 1048576",
      "config.yaml:3: lora_dropout: found \"1.0\", needed a number from 0.0 to below 1.0",
      "config.yaml:4: stage: found \"dpo\", needed one of sft pt",
      "config.yaml:6: seed: found the key twice (also in line 5), needed it once",
      "config.yaml:7: bf16: found a list, needed true or false",
      "config.yaml:8: offload_param: found an unknown key, needed a known one (nearest: "
      "zero.offload_param)",
      "config.yaml:10: zero.stage: found \"4\", needed an integer from 0 to 3",
      "config.yaml:11: zero.offlod_param: found an unknown key, needed a known one (nearest: "
      "zero.offload_param)",
      "config.yaml:13: global_batch_size: found 6, needed a multiple of "
      "per_device_train_batch_size 4",
      "config.yaml:14: numerics: found \"3\", needed a block such as {stage: 3}",
      "command line: found \"nonsense\", needed key=value",
      "command line: learning_rate: found \"fast\", needed a number from 0.0"};
  EXPECT_EQ(found, expected);
}

TEST_F(RunConfigFile, ReportsConflicts) {
  const struct {
    const char* text;
    const char* key;
  } cases[] = {
      {"warmup_steps: 5\nwarmup_ratio: 0.1", "config.yaml:2: warmup_ratio"},
      {"numerics: {lanes: 3}", "config.yaml:1: numerics.lanes"},
      {"adapter_name_or_path: a\nfinetuning_type: full", "config.yaml:1: adapter_name_or_path"},
      {"adapter_name_or_path: a\ntrain_from_scratch: true", "config.yaml:1: adapter_name_or_path"},
      {"train_on_prompt: true\nmask_history: true", "config.yaml:2: mask_history"},
      {"zero: {offload_param: nvme}", "config.yaml: zero.nvme_path"},
      {"do_train: false", "config.yaml:1: do_train"},
      {"lora_target: []", "config.yaml:1: lora_target"},
      {"lora_target: all,q_proj", "config.yaml:1: lora_target"},
      {"additional_target: lm_head\nfinetuning_type: full", "config.yaml:1: additional_target"},
      {"rank_pattern: q_proj", "config.yaml:1: rank_pattern"},
      {"rank_pattern: {q_proj: 0}", "config.yaml:1: rank_pattern"},
      {"rank_pattern: {q_proj: [1]}", "config.yaml:1: rank_pattern"},
      {"alpha_pattern: {q_proj: x}", "config.yaml:1: alpha_pattern"},
  };
  for (const auto& row : cases) {
    const Strings found = problems(row.text);
    ASSERT_EQ(found.size(), 1u) << row.text;
    EXPECT_TRUE(found[0].starts_with(row.key)) << found[0];
  }
}

TEST_F(RunConfigFile, RefusesValuesOutOfRange) {
  for (const char* text : {"lora_rank: 0",
                           "lora_dropout: -0.1",
                           "zero: {stage: -1}",
                           "cutoff_len: 0",
                           "gradient_accumulation_steps: 0",
                           "global_batch_size: 0",
                           "learning_rate: nan",
                           "learning_rate: -1",
                           "warmup_ratio: 1.5",
                           "adam_beta1: 1.0",
                           "num_train_epochs: 0",
                           "max_steps: 0",
                           "max_steps: -2",
                           "threads: 0",
                           "ranks: 0",
                           "memory_budget: 16 parsecs",
                           "memory_budget: 0",
                           "lora_rank: 99999999999999999999",
                           "lora_rank: 8.0",
                           "bf16: 1",
                           "zero: {offload_gradients: nvme}",
                           "seed: -1",
                           "dataset: {a: b}",
                           "dataset: [[a]]"}) {
    EXPECT_EQ(problems(text).size(), 1u) << text;
  }
}

TEST_F(RunConfigFile, RefusesWhatIsNotAConfig) {
  for (const std::string& text :
       {std::string("- a\n- b\n"), std::string("just words"), std::string("a: b: c"),
        std::string("a: [1"), std::string("seed: 1\n---\nseed: 2\n"), std::string("{[a]: 1}"),
        std::string(2 << 20, '#'), std::string(5000, '['), std::string("seed: *nowhere"),
        std::string("seed: 1\n\tbf16: true\n")}) {
    EXPECT_FALSE(problems(text).empty()) << text.substr(0, 40);
  }
  EXPECT_THROW(load_run_config(folder_ / "absent.yaml"), Error);
  EXPECT_THROW(load_run_config(folder_), Error);
}

TEST_F(RunConfigFile, AllowsAnchorsButNotBombs) {
  EXPECT_EQ(load("dataset: &d [a, b]\nadditional_target: *d\n").additional_target,
            (Strings{"a", "b"}));
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 7; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 9; ++j) bomb += (j ? ", " : "") + last;
    bomb += "]\n";
  }
  const Strings found = problems(bomb);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NE(found[0].find("aliases expanded"), std::string::npos) << found[0];
  EXPECT_FALSE(problems("dataset: &d [*d]\n").empty());
}

TEST_F(RunConfigFile, KeepsHostileTextOnOneLine) {
  const Strings found = problems("\"a\\nb\\x1b[31m\": 1\nstage: \"x\\ny\"\n");
  ASSERT_EQ(found.size(), 2u);
  for (const std::string& line : found) EXPECT_EQ(line.find('\x1b'), std::string::npos);
}

TEST_F(RunConfigFile, WritesWhatItReads) {
  RunConfig config;
  config.model_name_or_path = "a \"quoted\" \\ path: # with\nnewline";
  config.lora_alpha = 1.0 / 3.0;
  config.lora_target = {R"(.*\.(q|v)_proj{1,2})"};
  config.rank_pattern = {{"v_proj", 3}, {R"(layers\.1\.q_proj)", 7}};
  config.alpha_pattern = {{"v_proj", 0.5}};
  config.additional_target = {"embed_tokens", "true"};
  config.dataset = {"data/a,b.jsonl", "null"};
  config.template_name = "null";
  config.max_samples = 10;
  config.gradient_accumulation_steps = 4;
  config.warmup_ratio = 0.1;
  config.max_steps = 7;
  config.threads = 3;
  config.pin_threads = false;
  config.memory_budget = int64_t{16} << 30;
  config.gradient_checkpointing = CheckpointingOption::kFull;
  config.optim = OptimizerOption::kSgd;
  config.zero = {2,
                 OffloadOption::kCpu,
                 OffloadOption::kCpu,
                 OffloadOption::kNvme,
                 OffloadOption::kNvme,
                 "/nvme",
                 ScheduleOption::kLayerMajor,
                 1024};
  config.numerics = {8, ReduceOption::kMicroStep};
  EXPECT_EQ(load(to_yaml(config)), config) << to_yaml(config);
  EXPECT_EQ(load(to_yaml(RunConfig())), RunConfig()) << to_yaml(RunConfig());
}

TEST_F(RunConfigFile, RefusesWhatThisBuildCannotDo) {
  EXPECT_NO_THROW(refuse_unimplemented(RunConfig()));
  const RunConfig config = load(
      "device: cuda\n"
      "zero: {offload_param: cpu}\nnumerics: {reduce: micro_step}\n"
      "gradient_checkpointing: selective\n");
  try {
    refuse_unimplemented(config);
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    const Strings found = lines(error.message());
    EXPECT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0], "device: cuda: not available in this build, needed cpu or auto");
  }
}

TEST_F(RunConfigFile, ResolvesAutoAndNothingElse) {
  RunConfig config = load("gradient_checkpointing: auto\n");
  resolve_auto(config);
  EXPECT_EQ(config.device, DeviceOption::kCpu);
  EXPECT_EQ(config.zero.schedule, ScheduleOption::kBatchMajor);
  EXPECT_EQ(config.gradient_checkpointing, CheckpointingOption::kNone);
  RunConfig explicit_values = load(
      "gradient_checkpointing: full\ndevice: cuda\nzero: {schedule: layer_major}\n"
      "save_in_background: true\n");
  const RunConfig before = explicit_values;
  resolve_auto(explicit_values);
  EXPECT_EQ(explicit_values, before);
}

}  // namespace
}  // namespace athanor

// A run that goes on from a checkpoint is the run that was never interrupted: to the bit where the
// contract says so, on any number of ranks and in any placement; and a checkpoint that is damaged
// is left for the one before it.
#include "runtime/train/resume.h"

#include <gtest/gtest.h>

#include <exception>
#include <fstream>
#include <map>
#include <thread>

#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/checkpoint/state_shard.h"
#include "runtime/io/atomic_file.h"
#include "runtime/train/run.h"
#include "sharding/comm/thread_communicator.h"
#include "tests/support/temp_folder.h"
#include "tests/train/golden.h"

namespace athanor::testing {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxFile = int64_t{1} << 30;

std::string slurp(const fs::path& path) { return read_file(path, kMaxFile); }

RunConfig config_of(const std::string& model, FinetuningOption kind, const fs::path& output) {
  RunConfig config;
  const fs::path folder = fs::path(ATHANOR_GOLDEN_DIR) / model;
  config.model_name_or_path = folder;
  config.dataset = {(folder / "data.jsonl").string()};
  config.finetuning_type = kind;
  config.lora_dropout = kind == FinetuningOption::kLora ? 0.1 : 0.0;
  config.cutoff_len = 32;
  config.per_device_train_batch_size = 2;
  config.global_batch_size = 10;  // five micro-batches: the fourth lane is empty or short
  config.numerics.lanes = 4;
  config.learning_rate = 1e-3;
  config.lr_scheduler_type = LrSchedulerOption::kConstant;
  config.weight_decay = 0.1;
  config.max_steps = 6;  // an epoch has four
  config.logging_steps = 2;
  config.save_steps = 1;
  config.save_in_background = BackgroundOption::kOn;
  config.threads = 1;
  config.output_dir = output;
  return config;
}

// As `athanor train` does it, with thread ranks.
RunOutcome train(RunConfig config, int world) {
  const std::vector<fs::path> checkpoints = find_checkpoints(config, world);
  refuse_unimplemented(config);
  resolve_auto(config);
  ResolvedRun run = resolve_run(config, world);
  run.checkpoints = checkpoints;
  const RunData data = load_run_data(run);
  ThreadGroup group(world);
  const std::atomic<int> stop{0};
  std::vector<RunOutcome> outcomes(static_cast<size_t>(world));
  std::vector<std::exception_ptr> errors(outcomes.size());
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      const auto communicator = make_thread_communicator(group, rank);
      try {
        HostAllocator memory(Tier::kDevice);
        CpuDevice device(memory, 1);
        outcomes[static_cast<size_t>(rank)] =
            run_training(run, data, *communicator, device, memory, stop);
      } catch (const std::exception& error) {
        errors[static_cast<size_t>(rank)] = std::current_exception();
        communicator->abort(error.what(), 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  return outcomes[0];
}

// The lines of the log without what depends on the clock.
std::vector<std::string> log_of(const fs::path& output) {
  std::ifstream file(output / "trainer_log.jsonl");
  std::vector<std::string> lines;
  for (std::string text; std::getline(file, text);) {
    nlohmann::json line = nlohmann::json::parse(text);
    for (const char* key : {"elapsed_time", "remaining_time", "throughput", "step_ms"}) {
      line.erase(key);
    }
    lines.push_back(line.dump());
  }
  return lines;
}

std::string weights_of(const fs::path& output) {
  const fs::path adapter = output / "adapter_model.safetensors";
  return slurp(fs::exists(adapter) ? adapter : output / "model.safetensors");
}

// Every state of every trained tensor, whole.
std::map<std::string, std::vector<std::byte>> states_of(const fs::path& checkpoint,
                                                        const MomentLayout& moments) {
  CheckpointReader reader(checkpoint);
  std::map<std::string, std::vector<std::byte>> states;
  for (const TensorLayout& tensor : reader.manifest().tensors) {
    ParamSpec param;
    param.name = tensor.name;
    for (int i = 0; i <= moments.count; ++i) {
      const MomentLayout layout = i == 0 ? MomentLayout{.count = 1} : moments;
      std::vector<std::byte>& bytes =
          states[reader.manifest().states.at(static_cast<size_t>(i)) + "/" + tensor.name];
      bytes.resize(static_cast<size_t>(layout.bytes(tensor.numel())));
      if (i == 0) {
        reader.read_master(tensor.name, 0, tensor.numel(), reinterpret_cast<float*>(bytes.data()));
      } else {
        reader.read_moment(param, i - 1, layout, 0, tensor.numel(), bytes.data());
      }
    }
  }
  return states;
}

TEST(TemplateDateTest, AResumedRunHasTheDateOfItsStart) {
  const TempFolder folder;
  RunConfig config = config_of("llama_tied", FinetuningOption::kLora, folder / "out");
  config.max_steps = 1;
  config.template_date = "2024-07-26";
  train(config, 1);
  config.resume_from_checkpoint = "auto";
  config.template_date = "";
  find_checkpoints(config, 1);
  EXPECT_EQ(config.template_date, "2024-07-26");
  config.template_date = "2024-07-27";  // an explicit one is not changed
  find_checkpoints(config, 1);
  EXPECT_EQ(config.template_date, "2024-07-27");
}

struct Kind {
  const char* name;
  const char* model;
  FinetuningOption finetuning;
  bool bf16;
  void (*change)(RunConfig&) = nullptr;
  MomentLayout moments = {};
};
constexpr Kind kKinds[] = {
    {"lora_tied", "llama_tied", FinetuningOption::kLora, false},
    {"full_tied", "llama_tied", FinetuningOption::kFull, false},
    {"full_untied_bf16", "llama_untied", FinetuningOption::kFull, true},
    {"dora_untied_bf16", "llama_untied", FinetuningOption::kLora, true,
     [](RunConfig& config) { config.use_dora = true; }},
    {"lora_saved_tied", "llama_tied", FinetuningOption::kLora, false,
     [](RunConfig& config) {
       config.additional_target = {"embed_tokens", "lm_head"};
     }},
    {"dora_saved_head", "llama_tied", FinetuningOption::kLora, false,
     [](RunConfig& config) {
       config.use_dora = true;
       config.additional_target = {"lm_head", "norm"};
     }},
    {"lion", "llama_tied", FinetuningOption::kFull, false,
     [](RunConfig& config) { config.optim = OptimizerOption::kLion; }, MomentLayout{.count = 1}},
    {"adamw_8bit_bf16", "llama_untied", FinetuningOption::kFull, true,
     [](RunConfig& config) { config.optim = OptimizerOption::kAdamW8Bit; },
     MomentLayout{2, 128, 132}}};

class ResumeTest : public ::testing::TestWithParam<Kind> {
 protected:
  RunConfig config(const std::string& output) const {
    RunConfig config = config_of(GetParam().model, GetParam().finetuning, folder_ / output);
    config.bf16 = GetParam().bf16;
    if (GetParam().change != nullptr) GetParam().change(config);
    return config;
  }
  // The same, from a checkpoint of another folder.
  RunConfig from(const std::string& checkpoint, const std::string& output) const {
    RunConfig config = this->config(output);
    config.resume_from_checkpoint = folder_ / checkpoint;
    return config;
  }

  TempFolder folder_;
};

TEST_P(ResumeTest, AtAnyStepEqualsTheStraightRunToTheBit) {
  train(config("straight"), 1);
  for (int64_t step = 1; step <= 6; ++step) {
    const fs::path output = folder_ / std::to_string(step);
    fs::create_directories(output);
    // As if the run had been killed some steps later: its log knows more than the checkpoint.
    for (const char* kept : {"trainer_log.jsonl", "training_args.yaml"}) {
      fs::copy(folder_ / "straight" / kept, output / kept);
    }
    fs::copy(checkpoint_path(folder_ / "straight", step), checkpoint_path(output, step));
    RunConfig again = config(std::to_string(step));
    again.resume_from_checkpoint = "auto";
    EXPECT_EQ(train(again, 1).steps, 6);
    EXPECT_EQ(weights_of(output), weights_of(folder_ / "straight")) << "step " << step;
    EXPECT_EQ(log_of(output), log_of(folder_ / "straight")) << "step " << step;
    EXPECT_EQ(slurp(checkpoint_path(output, 6) / shard_file_name(0, 1)),
              slurp(checkpoint_path(folder_ / "straight", 6) / shard_file_name(0, 1)));
  }
}

struct Hop {
  int world;
  int stage;
  bool disk;
};

// Loading and saving without a step, from hop to hop: another number of ranks, another stage, other
// tiers and schedules. Then some steps from each of them.
TEST_P(ResumeTest, GoesOnInAnyWorldStageAndTier) {
  RunConfig start = config("0");
  start.max_steps = 3;
  train(start, 1);
  const auto states = states_of(folder_ / "0/checkpoint-3", GetParam().moments);
  train(config("straight"), 1);
  const std::string expected = weights_of(folder_ / "straight");
  constexpr Hop kHops[] = {{2, 3, false}, {4, 1, false}, {3, 3, true}, {2, 2, true}, {1, 0, false}};
  for (size_t i = 0; i < std::size(kHops); ++i) {
    const Hop& hop = kHops[i];
    SCOPED_TRACE("world " + std::to_string(hop.world) + " stage " + std::to_string(hop.stage));
    const auto placed = [&](RunConfig config) {
      config.zero.stage = hop.stage;
      config.zero.schedule =
          hop.stage == 3 ? ScheduleOption::kLayerMajor : ScheduleOption::kBatchMajor;
      config.zero.nvme_path = folder_.path();
      if (hop.disk) {
        config.zero.offload_optimizer = OffloadOption::kNvme;
        config.zero.offload_param = OffloadOption::kNvme;
      }
      return config;
    };
    const std::string before = std::to_string(i) + "/checkpoint-3";
    const std::string after = std::to_string(i + 1);
    RunConfig only_load = placed(from(before, after));
    only_load.max_steps = 3;
    train(only_load, hop.world);
    EXPECT_TRUE(states_of(folder_ / after / "checkpoint-3", GetParam().moments) == states);
    EXPECT_TRUE(checkpoint_problems(folder_ / after / "checkpoint-3").empty());

    RunConfig go_on = placed(from(before, after + "_on"));
    go_on.save_steps = 0;
    const RunOutcome outcome = train(go_on, hop.world);
    EXPECT_EQ(outcome.steps, 6);
    if (hop.world == 3) continue;  // three ranks hold no whole subtrees
    EXPECT_TRUE(weights_of(folder_ / (after + "_on")) == expected);
  }
  const std::string shard = shard_file_name(0, 1);
  EXPECT_EQ(slurp(folder_ / ("5/checkpoint-3/" + shard)),
            slurp(folder_ / ("0/checkpoint-3/" + shard)));
}

INSTANTIATE_TEST_SUITE_P(Kinds, ResumeTest, ::testing::ValuesIn(kKinds),
                         [](const auto& info) { return std::string(info.param.name); });

class DamageTest : public ::testing::Test {
 protected:
  DamageTest() {
    RunConfig config = this->config();
    config.max_steps = 4;
    train(config, 2);
    newest_ = checkpoint_path(output(), 4);
    shard_ = newest_ / shard_file_name(1, 2);
  }
  fs::path output() const { return folder_ / "out"; }
  RunConfig config() const {
    RunConfig config = config_of("llama_tied", FinetuningOption::kLora, output());
    config.save_steps = 2;
    return config;
  }
  // What a resumed run would start from.
  int64_t resumes_at() {
    RunConfig again = config();
    again.resume_from_checkpoint = "auto";
    again.max_steps = 5;
    again.save_steps = 0;
    again.output_dir = output();
    const std::vector<fs::path> found = find_checkpoints(again, 1);
    ResolvedRun run = resolve_run(again, 1);
    run.checkpoints = found;
    const RunData data = load_run_data(run);
    HostAllocator memory(Tier::kDevice);
    CpuDevice device(memory, 1);
    const auto communicator = make_solo_communicator();
    return choose_checkpoint(run, data, *communicator, device.communication)
        ->manifest()
        .progress.step;
  }
  void flip(const fs::path& path, std::streamoff at) const {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const char byte = static_cast<char>(file.get() ^ 4);
    file.seekp(at);
    file.put(byte);
  }

  TempFolder folder_;
  fs::path newest_;
  fs::path shard_;
};

TEST_F(DamageTest, TheNewestWholeOneIsTaken) {
  EXPECT_EQ(resumes_at(), 4);
  const std::string shard = slurp(shard_);
  const auto restore = [&] { write_file_atomic(shard_, shard); };
  flip(shard_, static_cast<std::streamoff>(shard.size()) - 5);
  EXPECT_EQ(resumes_at(), 2) << "a flipped bit";
  fs::resize_file(shard_, shard.size() / 2);
  EXPECT_EQ(resumes_at(), 2) << "cut off";
  fs::remove(shard_);
  EXPECT_EQ(resumes_at(), 2) << "missing";
  restore();
  EXPECT_EQ(resumes_at(), 4);
  const fs::path other = newest_ / shard_file_name(0, 2);
  fs::rename(other, newest_ / "kept");
  fs::rename(shard_, other);
  fs::rename(newest_ / "kept", shard_);
  EXPECT_EQ(resumes_at(), 2) << "swapped";
  fs::rename(other, newest_ / "kept");
  fs::rename(shard_, other);
  fs::rename(newest_ / "kept", shard_);
  EXPECT_EQ(resumes_at(), 4);
  flip(newest_ / kManifestFile, 60);
  EXPECT_EQ(resumes_at(), 2) << "an edited manifest";
  flip(checkpoint_path(output(), 2) / "trainer_state.json", 3);
  EXPECT_THROW(resumes_at(), Error) << "none is whole";
}

TEST_F(DamageTest, AnotherBaseModelOrOtherDataNeedTheFlag) {
  const fs::path model = folder_ / "model";
  fs::copy(fs::path(ATHANOR_GOLDEN_DIR) / "llama_tied", model, fs::copy_options::recursive);
  RunConfig again = config();
  again.resume_from_checkpoint = "auto";
  again.model_name_or_path = model;
  EXPECT_EQ(train(again, 1).steps, 6);  // the same files elsewhere
  flip(model / "model.safetensors",
       static_cast<std::streamoff>(fs::file_size(model / "model.safetensors")) - 3);
  try {
    train(again, 1);
    FAIL() << "another base model was not noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_NE(error.message().find("model.safetensors: found hash"), std::string::npos)
        << error.message();
  }
  again.model_name_or_path = config().model_name_or_path;
  again.mask_history = true;
  again.max_samples = 30;
  EXPECT_THROW(train(again, 1), Error);
  again.resume_with_changes = true;
  EXPECT_EQ(train(again, 1).steps, 6);
}

TEST_F(DamageTest, OnlySoManyAreKept) {
  RunConfig limited = config();
  limited.output_dir = folder_ / "limited";
  limited.save_steps = 1;
  limited.save_total_limit = 2;
  train(limited, 1);
  std::vector<int64_t> steps;
  for (const auto& found : list_checkpoints(folder_ / "limited")) steps.push_back(found.step);
  EXPECT_EQ(steps, (std::vector<int64_t>{6, 5}));
}

TEST_F(DamageTest, TheBestOneIsKept) {
  RunConfig limited = config();
  limited.output_dir = folder_ / "best";
  limited.save_total_limit = 2;
  limited.val_size = 0.2;
  limited.eval_steps = 1;
  limited.save_steps = 1;
  limited.learning_rate = 0;  // all losses are equal: the first one stays the best
  train(limited, 1);
  std::vector<int64_t> steps;
  for (const auto& found : list_checkpoints(folder_ / "best")) steps.push_back(found.step);
  EXPECT_EQ(steps, (std::vector<int64_t>{6, 1}));
}

}  // namespace
}  // namespace athanor::testing

// athanor train: what it leaves in its folder, and that others can go on from there.
#include <fstream>
#include <set>

#include "runtime/config/run_config.h"
#include "runtime/io/safetensors.h"
#include "tests/cli/cli_support.h"

namespace athanor::testing {
namespace {

TEST_F(CliTest, TrainWritesTheFilesOfTheInterface) {
  const ProcessResult result = train({"val_size=8", "eval_steps=2", "max_steps=4"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_complete_adapter(out());
  const std::vector<std::string> keys = {
      "current_steps", "total_steps",    "loss",       "lr",           "epoch",     "percentage",
      "elapsed_time",  "remaining_time", "throughput", "total_tokens", "grad_norm", "step_ms"};
  int steps = 0;
  std::vector<int> evaluated;
  for (const Json& line : log_lines(out())) {
    EXPECT_EQ(line.at("total_steps"), 4);
    if (line.contains("eval_loss")) {
      evaluated.push_back(line.at("current_steps"));
      EXPECT_GT(line.at("eval_loss"), 0);
      continue;
    }
    EXPECT_EQ(keys_of(line), keys);
    EXPECT_EQ(line.at("current_steps"), ++steps);
  }
  EXPECT_EQ(steps, 4);
  EXPECT_EQ(evaluated, (std::vector<int>{2, 4}));
  const Json state = Json::parse(slurp(out() / "trainer_state.json"));
  EXPECT_EQ(state.at("global_step"), 4);
  EXPECT_EQ(state.at("log_history").size(), 6u);
  EXPECT_EQ(Json::parse(slurp(out() / "adapter_config.json")).at("r"), 8);
}

TEST_F(CliTest, TrainSaysHowItUsesTheCores) {
  const ProcessResult free = train({"threads=3", "pin_threads=false"});
  ASSERT_EQ(free.exit_code, 0) << free.err;
  EXPECT_NE(free.err.find("3 threads a rank, not pinned: pin_threads is false"), std::string::npos)
      << free.err;
  const std::string weights = slurp(out() / "adapter_model.safetensors");
  const ProcessResult chosen = train({"threads=auto", "overwrite_output_dir=true"});
  ASSERT_EQ(chosen.exit_code, 0) << chosen.err;
  EXPECT_NE(chosen.err.find("threads a rank, "), std::string::npos) << chosen.err;
  EXPECT_EQ(slurp(out() / "adapter_model.safetensors"), weights);
}

TEST_F(CliTest, TrainingArgsGiveTheSameRunAgain) {
  ASSERT_EQ(train({"lora_dropout=0.1", "zero.stage=3", "ranks=2"}).exit_code, 0);
  const std::filesystem::path arguments = out() / "training_args.yaml";
  const std::vector<std::string> overrides = {"lora_dropout=0.1", "zero.stage=3", "ranks=2"};
  RunConfig config = load_run_config(folder_ / "config.yaml", overrides);
  resolve_auto(config);
  config.save_in_background = BackgroundOption::kOn;  // it fits
  EXPECT_TRUE(load_run_config(arguments) == config) << slurp(arguments);
  ASSERT_EQ(athanor({"train", arguments, out_key("again")}).exit_code, 0);
  EXPECT_EQ(losses_of(folder_ / "again"), losses_of(out()));
  EXPECT_EQ(slurp(folder_ / "again/adapter_model.safetensors"),
            slurp(out() / "adapter_model.safetensors"));
}

TEST_F(CliTest, NonEmptyOutputFolderIsRefusedUnlessOverwritten) {
  ASSERT_EQ(train().exit_code, 0);
  const std::string before = slurp(out() / "adapter_model.safetensors");
  expect_error(train({"seed=7"}), 78, {"output_dir", "not empty", "overwrite_output_dir"});
  EXPECT_EQ(slurp(out() / "adapter_model.safetensors"), before);
  EXPECT_EQ(train({"seed=7", "overwrite_output_dir=true"}).exit_code, 0);
  EXPECT_NE(slurp(out() / "adapter_model.safetensors"), before);
  EXPECT_EQ(log_lines(out()).size(), 3u);
}

// SGD keeps no state, and one micro-batch is the whole epoch: two steps and two steps are four.
TEST_F(CliTest, AdapterIsContinuedWhereItStopped) {
  std::ifstream data(golden("llama_tied") / "data.jsonl");
  std::string sample;
  std::getline(data, sample);
  spill(folder_ / "one.jsonl", sample + "\n");
  const std::vector<std::string> common = {
      "dataset=" + (folder_ / "one.jsonl").string(), "optim=sgd", "learning_rate=0.05",
      "lr_scheduler_type=constant", "lora_target=q_proj,up_proj"};
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.end(), common.begin(), common.end());
    const ProcessResult result = train(more);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  };
  run({"max_steps=4", out_key("whole")});
  run({"max_steps=2", out_key("half")});
  run({"max_steps=2", out_key("rest"), "adapter_name_or_path=" + (folder_ / "half").string()});
  const std::vector<double> whole = losses_of(folder_ / "whole");
  ASSERT_EQ(whole.size(), 4u);
  EXPECT_NE(whole[0], whole[2]);
  EXPECT_EQ(losses_of(folder_ / "rest"), (std::vector<double>{whole[2], whole[3]}));
  EXPECT_EQ(slurp(folder_ / "rest/adapter_model.safetensors"),
            slurp(folder_ / "whole/adapter_model.safetensors"));
}

// The mean over a step's targets does not depend on the order of samples beyond rounding.
TEST_F(CliTest, FirstLossIsThatOfTheAdapterGiven) {
  const Json expected = Json::parse(slurp(golden("llama_tied") / "expected.json"));
  std::vector<std::string> samples;
  std::ifstream data(golden("llama_tied") / "data.jsonl");
  for (std::string line; std::getline(data, line);) samples.push_back(line);
  std::string first_step;
  int64_t rows = 0;
  for (const Json& micro_batch : expected.at("micro_batches").at(0)) {
    for (const Json& index : micro_batch) {
      first_step += samples.at(index.get<size_t>()) + "\n";
      ++rows;
    }
  }
  spill(folder_ / "step.jsonl", first_step);
  ASSERT_EQ(train({"dataset=" + (folder_ / "step.jsonl").string(), "max_steps=1",
                   "global_batch_size=" + std::to_string(rows),
                   "adapter_name_or_path=" + (golden("llama_tied") / "adapter").string()})
                .exit_code,
            0);
  const double loss = expected.at("lora").at("losses").at(0);
  EXPECT_NEAR(losses_of(out()).at(0), loss, 1e-5 * loss);
}

TEST_F(CliTest, ProfileHasATraceAndATableAndChangesNoBits) {
  for (const char* ranks : {"ranks=1", "ranks=2"}) {
    ASSERT_EQ(train({ranks, "global_batch_size=4", out_key("plain")}).exit_code, 0);
    std::vector<std::string> command = train_command(
        {ranks, "global_batch_size=4", out_key("profiled"), "zero.stage=2",
         "overwrite_output_dir=true", "--profile", (folder_ / "trace.json").string()});
    const ProcessResult result = run_process(command);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.out.find("of the limit"), std::string::npos) << result.out;
    EXPECT_NE(result.out.find("rms_norm"), std::string::npos) << result.out;
    EXPECT_GT(Json::parse(slurp(folder_ / "trace.json")).at("traceEvents").size(), 50u);
    EXPECT_EQ(losses_of(folder_ / "profiled"), losses_of(folder_ / "plain"));
    std::filesystem::remove_all(folder_ / "plain");
  }
}

TEST_F(CliTest, FullFinetuneWritesAModelThatLoads) {
  const std::filesystem::path model = make_model();
  for (const char* name :
       {"config.json", "model.safetensors", "tokenizer.json", "trainer_log.jsonl"}) {
    EXPECT_TRUE(std::filesystem::exists(model / name)) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(model / "adapter_config.json"));
  const ProcessResult text =
      athanor({"generate", model, "--prompt", "The furnace", "--max-new-tokens", "4"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_EQ(text.out.substr(0, 11), "The furnace");
  // and can be trained on.
  const ProcessResult more =
      train({"model_name_or_path=" + model.string(), "stage=pt", out_key("more"),
             "dataset=" + (folder_ / "text.jsonl").string()});
  EXPECT_EQ(more.exit_code, 0) << more.err;
}

}  // namespace
}  // namespace athanor::testing

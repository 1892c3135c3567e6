// Keys, digits and validity of what tools read.
#include "runtime/io/trainer_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/io/io_support.h"

namespace athanor {
namespace {

using TrainerLogTest = IoTest;
using nlohmann::json;

TEST_F(TrainerLogTest, WritesTheKeysOfTheInterface) {
  TrainerLogLine line;
  line.current_steps = 5;
  line.total_steps = 300;
  line.loss = 1.23456789012;
  line.lr = 1e-4;
  line.epoch = 0.05;
  line.elapsed_seconds = 65.7;
  line.remaining_seconds = 2 * 86400 + 3661;
  line.throughput = 1234.567;
  line.total_tokens = 4096;
  line.grad_norm = 0.5;
  line.step_ms = 12.3456;
  EXPECT_EQ(format_log_line(line),
            R"({"current_steps": 5, "total_steps": 300, "loss": 1.23456789, "lr": 0.0001, )"
            R"("epoch": 0.05, "percentage": 1.67, "elapsed_time": "0:01:05", )"
            R"("remaining_time": "2 days, 1:01:01", "throughput": 1234.57, )"
            R"("total_tokens": 4096, "grad_norm": 0.5, "step_ms": 12.346})");
}

TEST_F(TrainerLogTest, NineDigitsTellFloatsApart) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> any(0.0f, 20.0f);
  for (int i = 0; i < 1000; ++i) {
    TrainerLogLine line;
    line.loss = any(random);
    const float back = json::parse(format_log_line(line))["loss"].get<float>();
    EXPECT_EQ(back, static_cast<float>(*line.loss));
  }
}

TEST_F(TrainerLogTest, StaysJsonWhenNumbersAreNot) {
  TrainerLogLine line;
  line.loss = std::numeric_limits<double>::quiet_NaN();
  line.grad_norm = std::numeric_limits<double>::infinity();
  line.eval_loss = 2.5;
  line.elapsed_seconds = std::numeric_limits<double>::quiet_NaN();
  const json parsed = json::parse(format_log_line(line));
  EXPECT_TRUE(parsed["loss"].is_null());
  EXPECT_TRUE(parsed["grad_norm"].is_null());
  EXPECT_EQ(parsed["eval_loss"], 2.5);
  EXPECT_FALSE(parsed.contains("lr"));
}

TEST_F(TrainerLogTest, AppendsWholeLinesAtOnce) {
  const auto path = folder_ / "trainer_log.jsonl";
  {
    TrainerLog log(path, TrainerLog::Mode::kTruncate);
    log.append({.current_steps = 1, .total_steps = 2});
    const std::string text = slurp(path);  // while the log is open
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  }
  TrainerLog(path, TrainerLog::Mode::kAppend).append({.current_steps = 2, .total_steps = 2});
  std::istringstream lines(slurp(path));
  int64_t step = 0;
  for (std::string text; std::getline(lines, text);) {
    EXPECT_EQ(json::parse(text)["current_steps"], ++step);
  }
  EXPECT_EQ(step, 2);
  TrainerLog(path, TrainerLog::Mode::kTruncate);
  EXPECT_EQ(slurp(path), "");
  error_of(ErrorKind::kIo,
           [&] { TrainerLog(folder_ / "no" / "log", TrainerLog::Mode::kTruncate); });
}

TEST_F(TrainerLogTest, StateHoldsOnlyKeysThatTransformersKnows) {
  TrainerState state;
  state.global_step = 2;
  state.epoch = 0.5;
  state.log_history.push_back(
      {.step = 1, .epoch = 0.25, .loss = 2.0, .grad_norm = 1.0, .learning_rate = 1e-4});
  state.log_history.push_back({.step = 2, .epoch = 0.5, .eval_loss = 1.5});
  write_trainer_state(folder_ / "trainer_state.json", state);
  const std::string text = slurp(folder_ / "trainer_state.json");
  EXPECT_TRUE(text.starts_with("{\n  \"best_metric\": null,\n"));
  EXPECT_TRUE(text.ends_with("}\n"));
  const json parsed = json::parse(text);
  // A subset of transformers.TrainerState, checked by loading the file with transformers 5.24.
  const std::vector<std::string> known = {"best_metric",
                                          "best_model_checkpoint",
                                          "epoch",
                                          "eval_steps",
                                          "global_step",
                                          "is_hyper_param_search",
                                          "is_local_process_zero",
                                          "is_world_process_zero",
                                          "log_history",
                                          "logging_steps",
                                          "max_steps",
                                          "num_input_tokens_seen",
                                          "num_train_epochs",
                                          "save_steps",
                                          "total_flos",
                                          "train_batch_size",
                                          "trial_name",
                                          "trial_params"};
  std::vector<std::string> written;
  for (const auto& item : parsed.items()) written.push_back(item.key());
  EXPECT_EQ(written, known);
  EXPECT_EQ(parsed["log_history"][0]["learning_rate"], 1e-4);
  EXPECT_EQ(parsed["log_history"][1]["eval_loss"], 1.5);
  EXPECT_FALSE(parsed["log_history"][1].contains("loss"));
}

}  // namespace
}  // namespace athanor

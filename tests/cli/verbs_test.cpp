// athanor eval, init and doctor.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/cli/cli_support.h"

namespace athanor::testing {
namespace {

Json json_of(const ProcessResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return Json::parse(result.out);
}

// What a run reports at its end about its evaluation share, from the weights it saved.
TEST_F(CliTest, EvalAgreesWithTheRunsOwnEvaluation) {
  for (const char* kind : {"lora", "full"}) {
    const std::vector<std::string> settings = {
        std::string("finetuning_type=") + kind, "val_size=3", out_key(kind)};
    ASSERT_EQ(train(settings).exit_code, 0);
    double expected = 0;
    for (const Json& line : log_lines(folder_ / kind)) {
      if (line.contains("eval_loss")) expected = line.at("eval_loss");
    }
    std::vector<std::string> command = {"eval", folder_ / "config.yaml", "--json"};
    command.insert(command.end(), settings.begin(), settings.end());
    const Json tuned = json_of(athanor(command));
    EXPECT_NEAR(tuned.at("loss").get<double>(), expected, 1e-6 * expected) << kind;
    EXPECT_NEAR(tuned.at("perplexity").get<double>(), std::exp(expected), 1e-4);
    EXPECT_EQ(tuned.at("samples"), 3);
    EXPECT_EQ(tuned.at("held_out"), true);
    command.push_back("--base");
    EXPECT_NE(json_of(athanor(command)).at("loss"), tuned.at("loss"));
  }
}

TEST_F(CliTest, InitPrintsAConfigThatPlans) {
  const ProcessResult result = athanor({"init", golden("llama_tied")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  spill(folder_ / "first.yaml", result.out);
  const Json plan = json_of(athanor({"plan", folder_ / "first.yaml", "--json"}));
  EXPECT_EQ(plan.at("fits"), true);
  expect_error(athanor({"init", "/nowhere/model"}), 78, {"/nowhere/model"});
}

TEST_F(CliTest, DoctorMeasuresThisMachine) {
  const Json facts = json_of(athanor({"doctor", "--json", "--disk", folder_.path()}));
  EXPECT_GT(facts.at("rates").at("f32_flops"), 0.0);
  EXPECT_GT(facts.at("memory").at("budget_bytes"), 0);
  EXPECT_GT(facts.at("disk").at("write_bytes_per_second"), 0.0);
  EXPECT_TRUE(facts.at("missing").is_array());
  expect_error(athanor({"doctor", "--disk", folder_ / "none"}), 74, {"none"});
}

}  // namespace
}  // namespace athanor::testing

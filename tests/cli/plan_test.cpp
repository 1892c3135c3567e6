// athanor plan: keys and exit codes of the interface, and jobs far larger than this machine.
#include <cstdio>
#include <filesystem>

#include "tests/cli/cli_support.h"

namespace athanor::testing {
namespace {

using Keys = std::vector<std::string>;

TEST_F(CliTest, PlanJsonHasTheKeysOfTheInterface) {
  const ProcessResult result =
      athanor({"plan", folder_ / "config.yaml", "--json", "--world", "4", "zero.stage=3"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json plan = Json::parse(result.out);
  EXPECT_EQ(keys_of(plan), (Keys{"world", "zero_stage", "schedule", "fits", "ranks", "step"}));
  EXPECT_EQ(plan.at("world"), 4);
  EXPECT_EQ(plan.at("zero_stage"), 3);
  EXPECT_EQ(plan.at("schedule"), "batch_major");
  EXPECT_EQ(plan.at("fits"), true);
  ASSERT_EQ(plan.at("ranks").size(), 1u);
  const Json& rank = plan.at("ranks").at(0);
  EXPECT_EQ(keys_of(rank), (Keys{"rank", "tiers"}));
  EXPECT_EQ(keys_of(rank.at("tiers")), (Keys{"device", "host", "disk"}));
  for (const Json& tier : rank.at("tiers")) {
    EXPECT_EQ(keys_of(tier), (Keys{"peak_bytes", "persistent_bytes"}));
  }
  EXPECT_GT(rank.at("tiers").at("device").at("peak_bytes"), 0);
  const Json& step = plan.at("step");
  EXPECT_EQ(keys_of(step),
            (Keys{"flops", "floor_seconds", "collectives", "copies", "gathers_per_unit"}));
  ASSERT_TRUE(step.at("collectives").contains("all_gather"));
  EXPECT_EQ(keys_of(step.at("collectives").at("all_gather")), (Keys{"count", "bytes"}));
  EXPECT_EQ(step.at("gathers_per_unit").size(), 4u);  // embedding with the tied head, 3 blocks
  EXPECT_FALSE(std::filesystem::exists(out()));
}

TEST_F(CliTest, PlanListsAllRanksWhenAsked) {
  const ProcessResult result = athanor(
      {"plan", folder_ / "config.yaml", "--json", "--world", "3", "--all-ranks", "zero.stage=2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Json::parse(result.out).at("ranks").size(), 3u);
}

TEST_F(CliTest, PlanThatDoesNotFitIsPrintedAndEndsWith71) {
  const ProcessResult json =
      athanor({"plan", folder_ / "config.yaml", "--json", "memory_budget=1MiB"});
  EXPECT_EQ(json.exit_code, 71) << json.err;
  EXPECT_EQ(Json::parse(json.out).at("fits"), false);
  const ProcessResult table = athanor({"plan", folder_ / "config.yaml", "memory_budget=1MiB"});
  EXPECT_EQ(table.exit_code, 71);
  EXPECT_NE(table.out.find("DOES NOT FIT"), std::string::npos) << table.out;
}

TEST_F(CliTest, PlanThatDoesNotFitNamesThreeChanges) {
  const std::vector<std::string> plan = {"plan", folder_ / "config.yaml", "memory_budget=1MiB"};
  std::vector<std::string> as_json = plan;
  as_json.push_back("--json");
  const Json changes = Json::parse(athanor(as_json).out).at("changes");
  ASSERT_EQ(changes.size(), 3u);
  for (const Json& change : changes) EXPECT_GT(change.at("saved_bytes"), 0);
  EXPECT_NE(athanor(plan).out.find("cheapest changes"), std::string::npos);
}

TEST_F(CliTest, PlanComparesPlacements) {
  const ProcessResult table =
      athanor({"plan", folder_ / "config.yaml", "--world", "2", "--compare"});
  ASSERT_EQ(table.exit_code, 0) << table.err;
  EXPECT_NE(table.out.find("device peak"), std::string::npos) << table.out;
  const ProcessResult json =
      athanor({"plan", folder_ / "config.yaml", "--world", "2", "--compare", "--json"});
  for (const Json& row : Json::parse(json.out)) {
    EXPECT_EQ(keys_of(row), (Keys{"zero_stage", "offload", "schedule", "gradient_checkpointing",
                                  "tiers", "floor_seconds", "fits"}));
  }
}

TEST_F(CliTest, PlanWritesATimelineAndKnowsProfiles) {
  const std::filesystem::path file = folder_ / "step.json";
  const ProcessResult result = athanor({"plan", folder_ / "config.yaml", "--machine", "h100x8",
                                        "--world", "8", "--timeline", file.string()});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("on h100x8"), std::string::npos) << result.out;
  EXPECT_GT(Json::parse(slurp(file)).at("traceEvents").size(), 10u);
}

TEST_F(CliTest, TrainSaysWhatAutoBecame) {
  const ProcessResult result = train();
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("auto: zero.schedule=batch_major gradient_checkpointing=none"),
            std::string::npos)
      << result.err;
  const std::string args = slurp(out() / "training_args.yaml");
  EXPECT_EQ(args.find(": auto"), std::string::npos) << args;
}

class LargePlan : public CliTest, public ::testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    const Json config = {{"architectures", {"LlamaForCausalLM"}},
                         {"model_type", "llama"},
                         {"hidden_size", 8192},
                         {"num_hidden_layers", 80},
                         {"num_attention_heads", 64},
                         {"num_key_value_heads", 8},
                         {"intermediate_size", 28672},
                         {"vocab_size", 128256},
                         {"hidden_act", "silu"},
                         {"rms_norm_eps", 1e-5},
                         {"rope_theta", 500000.0},
                         {"max_position_embeddings", 8192},
                         {"tie_word_embeddings", false},
                         {"torch_dtype", "bfloat16"}};
    spill(folder_ / "70b/config.json", config.dump());
  }
};

// 70.6e9 parameters trained in bfloat16: 2 bytes of weights, 4 of gradient, 12 of state each. Of
// these, what a stage spreads over the ranks; with batch_major a gradient stays whole until the
// last of a rank's micro-batches, whatever the stage.
constexpr double kParameters = 70.5e9;
constexpr double kSpreadBatchMajor[] = {0, 12, 12, 14};
constexpr double kSpreadLayerMajor[] = {0, 12, 16, 18};

// The limit is a guard against hanging, not a measurement.
TEST_P(LargePlan, SeventyBillionParametersOnAnyNumberOfRanks) {
  const auto stage = static_cast<size_t>(GetParam());
  for (const bool layer_major : {false, true}) {
    for (const int world : {1, 8, 64}) {
      const ProcessResult result = run_process(
          {ATHANOR_PROGRAM, "plan", folder_ / "config.yaml", "--json", "--world",
           std::to_string(world), "zero.stage=" + std::to_string(stage),
           std::string("zero.schedule=") + (layer_major ? "layer_major" : "batch_major"),
           "model_name_or_path=" + (folder_ / "70b").string(), "finetuning_type=full",
           "gradient_accumulation_steps=16", "bf16=true", "cutoff_len=2048",
           "gradient_checkpointing=full", "per_device_train_batch_size=1",
           "memory_budget=1000000GiB", "save_in_background=false"},
          {}, std::chrono::seconds(60));
      ASSERT_FALSE(result.timed_out) << world << " ranks";
      ASSERT_EQ(result.exit_code, 0) << result.err;
      const Json plan = Json::parse(result.out);
      EXPECT_EQ(plan.at("world"), world);
      const double peak = plan.at("ranks").at(0).at("tiers").at("device").at("peak_bytes");
      std::printf("%s, stage %zu, %d ranks: %.1f GB a rank, %.2f s\n",
                  layer_major ? "layer_major" : "batch_major", stage, world, peak / 1e9,
                  result.seconds);
      const double spread = (layer_major ? kSpreadLayerMajor : kSpreadBatchMajor)[stage];
      const double states = kParameters * (18 - spread + spread / world);
      EXPECT_GT(peak, states);
      EXPECT_LT(peak, states * 1.02 + 70e9);  // activations, working buffers
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Stages, LargePlan, ::testing::Range(0, 4));

}  // namespace
}  // namespace athanor::testing

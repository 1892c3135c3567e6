// A trained model that somebody else made: stories260K against llama2.c. Needs the folder that
// ATHANOR_TEST_DATA names; without it these tests say so and skip.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>

#include "runtime/data/tokenizer.h"
#include "runtime/train/generate.h"
#include "runtime/train/trainer.h"
#include "tests/sharding/thread_ranks.h"
#include "tests/train/golden.h"

namespace athanor::testing {
namespace {

// llama2.c adds in float32 in another order; 2.4e-5 was measured on logits up to 20.
constexpr double kLogits = 1e-4;

class Stories260K : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* data = std::getenv("ATHANOR_TEST_DATA");
    if (data == nullptr || !std::filesystem::exists(std::filesystem::path(data) / "stories260K")) {
      GTEST_SKIP() << "ATHANOR_TEST_DATA names no folder with stories260K in it";
    }
    root_ = std::filesystem::path(data) / "stories260K";
    forward_ = read_json(root_ / "golden" / "forward.json");
    ids_ = forward_.at("input_ids").get<std::vector<int32_t>>();
  }

  std::vector<float> logits(const std::string& model, DType dtype) const {
    GenerateOptions options;
    options.model = root_ / model;
    options.dtype = dtype;
    Generator generator(options, static_cast<int64_t>(ids_.size()));
    return generator.logits(ids_);
  }

  std::vector<float> golden_logits() const {
    std::vector<float> want(ids_.size() * 512);
    std::ifstream file(root_ / "golden" / "logits_64x512_f32le.bin", std::ios::binary);
    file.read(reinterpret_cast<char*>(want.data()), static_cast<std::streamsize>(want.size() * 4));
    EXPECT_TRUE(file.good());
    return want;
  }

  // Mean negative log-likelihood of ids_[1..] in nats.
  double mean_nll(const std::vector<float>& logits) const {
    double sum = 0;
    for (size_t t = 0; t + 1 < ids_.size(); ++t) {
      const float* row = logits.data() + t * 512;
      double total = 0;
      for (size_t v = 0; v < 512; ++v) total += std::exp(static_cast<double>(row[v]));
      sum += std::log(total) - static_cast<double>(row[static_cast<size_t>(ids_[t + 1])]);
    }
    return sum / static_cast<double>(ids_.size() - 1);
  }

  std::filesystem::path root_;
  nlohmann::json forward_;
  std::vector<int32_t> ids_;
};

TEST_F(Stories260K, LogitsAreThoseOfLlama2C) {
  const std::vector<float> got = logits("hf", DType::kF32);
  const std::vector<float> want = golden_logits();
  ASSERT_EQ(got.size(), want.size());
  EXPECT_LE(largest_distance(got.data(), want), kLogits);
  EXPECT_NEAR(mean_nll(got), forward_.at("mean_nll_nats").get<double>(), 1e-5);
  const auto argmax = forward_.at("argmax").get<std::vector<int64_t>>();
  for (size_t t = 0; t < argmax.size(); ++t) {
    const auto row = got.begin() + static_cast<int64_t>(t * 512);
    EXPECT_EQ(std::max_element(row, row + 512) - row, argmax[t]) << "position " << t;
  }
}

TEST_F(Stories260K, GreedyTextIsThatOfLlama2C) {
  const Tokenizer tokenizer = Tokenizer::load(root_ / "hf");
  GenerateOptions options;
  options.model = root_ / "hf";
  options.max_new_tokens = 200;
  Generator generator(options, 201);
  std::vector<int32_t> tokens;
  const int32_t bos = 1;
  generator.generate(std::span(&bos, 1), [&](int32_t id) {
    tokens.push_back(id);
    return id != bos;
  });
  std::ostringstream want;
  want << std::ifstream(root_ / "golden" / "greedy_200.txt").rdbuf();
  std::string text = want.str();
  while (text.ends_with('\n')) text.pop_back();
  EXPECT_EQ(tokenizer.decode(tokens, true), text);
}

// The twin's weights are bfloat16, rounded once, and lie in two shards.
TEST_F(Stories260K, Bf16TwinInTwoShardsIsClose) {
  const std::vector<float> want = golden_logits();
  const std::vector<float> twin = logits("hf-bf16-sharded", DType::kF32);
  const std::vector<float> worked_in_bf16 = logits("hf-bf16-sharded", DType::kBF16);
  EXPECT_LE(relative_distance(twin.data(), want), 0.01);
  EXPECT_GT(relative_distance(twin.data(), want), 1e-5);  // it is not the float32 model
  EXPECT_LE(relative_distance(worked_in_bf16.data(), want), 0.03);
  EXPECT_NEAR(mean_nll(twin), forward_.at("mean_nll_nats").get<double>(), 0.01);
}

TEST_F(Stories260K, TenLoraStepsLowerTheLoss) {
  RunConfig config;
  config.model_name_or_path = root_ / "hf";
  config.cutoff_len = 64;
  config.lora_rank = 8;
  config.lora_alpha = 16;
  config.threads = 1;
  resolve_auto(config);
  const ResolvedRun run = resolve_run(config, 1);
  const std::vector<Sample> samples = {{ids_, ids_}};
  StepBatch batch;
  batch.micro_batches = 1;
  batch.slots.push_back(lay_out(samples, {0}));
  batch.target_tokens = batch.slots[0].data.target_tokens;
  run_ranks(1, [&](TestRank& self) {
    Trainer trainer(run.spec, run.trainer, self.context());
    RunWeights weights(run);
    trainer.load(&weights.source());
    std::vector<double> losses;
    for (int64_t step = 0; step < 10; ++step) {
      losses.push_back(trainer.train_step(batch, step, 1e-3).loss);
    }
    // A fresh adapter changes nothing yet: the base model's likelihood.
    EXPECT_NEAR(losses.front(), forward_.at("mean_nll_nats").get<double>(), 1e-4);
    EXPECT_LT(losses.back(), 0.5 * losses.front());
  });
}

}  // namespace
}  // namespace athanor::testing

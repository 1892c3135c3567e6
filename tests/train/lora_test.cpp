// Which layers get an adapter, of which rank and scaling: names and expressions as PEFT reads them.
#include "runtime/model/lora.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"

namespace athanor {
namespace {

const std::string kQuery = "model.layers.1.self_attn.q_proj";
const std::string kDown = "model.layers.11.mlp.down_proj";

LoraOptions options(std::vector<std::string> targets, bool is_pattern = false) {
  LoraOptions lora;
  lora.rank = 4;
  lora.alpha = 6;
  lora.targets = std::move(targets);
  lora.is_pattern = is_pattern;
  return lora;
}

bool finds(const LoraOptions& lora, const std::string& path) {
  return LoraTargets(lora).find(path).has_value();
}

std::string message_of(const LoraOptions& lora, ErrorKind kind) {
  try {
    LoraTargets targets(lora);
    targets.find(kQuery);
    targets.find(kDown);
    targets.check_all_used("q_proj, down_proj");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.message();
  }
  ADD_FAILURE() << "not refused";
  return "";
}

TEST(LoraTargets, NamesAreTheLastComponentsOfAPath) {
  EXPECT_TRUE(finds(options({"q_proj"}), kQuery));
  EXPECT_TRUE(finds(options({"self_attn.q_proj", "x"}), kQuery));
  EXPECT_TRUE(finds(options({"1.self_attn.q_proj"}), kQuery));
  EXPECT_FALSE(finds(options({"1.mlp.down_proj"}), kDown));  // 11 is not 1
  EXPECT_FALSE(finds(options({"proj"}), kQuery));
  EXPECT_TRUE(finds(options({"all"}), kDown));
}

TEST(LoraTargets, AnExpressionMatchesAWholePath) {
  EXPECT_TRUE(finds(options({R"(.*\.q_proj)"}, true), kQuery));
  EXPECT_TRUE(
      finds(options({R"(model\.layers\.\d+\.(self_attn|mlp)\.(q|down)_proj)"}, true), kDown));
  EXPECT_FALSE(finds(options({"q_proj"}, true), kQuery));
  EXPECT_FALSE(finds(options({R"(model\.layers\.1)"}, true), kQuery));
  EXPECT_TRUE(finds(options({"x|.*q_proj"}, true), kQuery));
}

TEST(LoraTargets, ScalingIsAlphaByRankOrByItsRoot) {
  LoraOptions lora = options({"all"});
  EXPECT_EQ(LoraTargets(lora).find(kQuery)->scaling, 1.5f);
  lora.rslora = true;
  EXPECT_EQ(LoraTargets(lora).find(kQuery)->scaling, 3.0f);
}

TEST(LoraTargets, TheFirstPatternThatMatchesGivesRankAndAlpha) {
  LoraOptions lora = options({"all"});
  lora.rank_pattern = {{R"(layers\.1\.self_attn\.q_proj)", 7}, {"q_proj", 9}, {"^down_proj", 2}};
  lora.alpha_pattern = {{"down_proj", 8}, {R"(model\..*)", 14}};
  EXPECT_EQ(LoraTargets(lora).find(kQuery)->rank, 7);
  EXPECT_EQ(LoraTargets(lora).find(kQuery)->scaling, 2.0f);
  EXPECT_EQ(LoraTargets(lora).find("model.layers.2.self_attn.q_proj")->rank, 9);
  EXPECT_EQ(LoraTargets(lora).find(kDown)->rank, 4);  // ^ is the path's start
  EXPECT_EQ(LoraTargets(lora).find(kDown)->scaling, 2.0f);
  lora.rslora = true;
  EXPECT_EQ(LoraTargets(lora).find(kQuery)->scaling, static_cast<float>(14 / std::sqrt(7.0)));
}

TEST(LoraTargets, WhatMatchesNothingIsRefused) {
  LoraOptions lora = options({"q_proj", "w_proj"});
  EXPECT_EQ(message_of(lora, ErrorKind::kConfig),
            "lora_target: \"w_proj\" matches no linear layer; the blocks have q_proj, down_proj");
  lora.targets_from = "a.json";
  EXPECT_EQ(message_of(lora, ErrorKind::kBadInput).find("a.json: target_modules: \"w_proj\""), 0u);
  lora = options({"q_proj"});
  lora.rank_pattern = {{"down_proj", 3}};
  EXPECT_EQ(message_of(lora, ErrorKind::kConfig).find("rank_pattern: \"down_proj\" matches no"),
            0u);
  lora.rank_pattern = {{"(q_proj", 3}};
  EXPECT_EQ(message_of(lora, ErrorKind::kConfig).find("rank_pattern: "), 0u);
}

}  // namespace
}  // namespace athanor

// adapter_config.json in both directions, names, and the adapter that PEFT itself wrote.
#include "runtime/io/peft.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/io/safetensors.h"
#include "tests/io/io_support.h"

namespace athanor {
namespace {

class PeftTest : public IoTest {
 protected:
  PeftConfig read(const std::string& more) const {
    put(kPeftConfigFile, R"({"peft_type":"LORA","r":4,"target_modules":["q_proj"])" + more + "}");
    return read_peft_config(folder_);
  }
};

TEST_F(PeftTest, ReadsDefaultsAndToleratesTheUnknown) {
  const PeftConfig config = read(R"(,"some_future_key":{"a":[1]},"lora_alpha":6.5,"bias":"none",
      "rank_pattern":{},"alpha_pattern":{},"modules_to_save":null,"use_dora":false,
      "exclude_modules":null,"megatron_core":"megatron.core","init_lora_weights":true)");
  EXPECT_EQ(config.r, 4);
  EXPECT_EQ(config.lora_alpha, 6.5);
  EXPECT_EQ(config.lora_dropout, 0.0);
  EXPECT_EQ(config.target_modules, std::vector<std::string>{"q_proj"});
  EXPECT_FALSE(config.target_modules_is_pattern);
  EXPECT_FALSE(config.use_rslora);
  EXPECT_TRUE(config.rank_pattern.empty());
  EXPECT_TRUE(read(R"(,"use_rslora":true)").use_rslora);
}

TEST_F(PeftTest, RefusesWhatChangesTheMathematics) {
  for (const char* more : {R"("use_dora":1)",
                           R"("bias":"all")",
                           R"("bias":"lora_only")",
                           R"("modules_to_save":[1])",
                           R"("modules_to_save":"lm_head")",
                           R"("rank_pattern":{"q_proj":0})",
                           R"("rank_pattern":{"q_proj":1.5})",
                           R"("rank_pattern":["q_proj"])",
                           R"("alpha_pattern":{"q_proj":"8"})",
                           R"("layer_replication":[[0,4],[2,5]])",
                           R"("fan_in_fan_out":true)",
                           R"("lora_bias":true)",
                           R"("target_parameters":["x"])",
                           R"("init_lora_weights":"pissa")",
                           R"("init_lora_weights":"olora")",
                           R"("layers_to_transform":[0])",
                           R"("use_dora":"yes")",
                           R"("lora_dropout":1.0)",
                           R"("lora_alpha":"8")",
                           R"("use_rslora":1)"}) {
    const std::string message =
        error_of(ErrorKind::kBadInput, [&] { read(std::string(",") + more); });
    const std::string key = std::string(more).substr(1, std::string(more).find(':') - 2);
    EXPECT_TRUE(has(message, ": " + key + ": found ")) << message;
  }
}

TEST_F(PeftTest, RefusesWhatIsNotAnAdapter) {
  for (const char* text : {"", "[]", "{}", R"({"peft_type":"IA3","target_modules":["a"]})",
                           R"({"peft_type":"LORA"})", R"({"peft_type":"LORA","target_modules":[]})",
                           R"({"peft_type":"LORA","target_modules":[1]})",
                           R"({"peft_type":"LORA","target_modules":["a"],"r":0})",
                           R"({"peft_type":"LORA","target_modules":["a"],"r":1.5})",
                           R"({"peft_type":"LORA","peft_type":"LORA","target_modules":["a"]})"}) {
    put(kPeftConfigFile, text);
    error_of(ErrorKind::kBadInput, [&] { read_peft_config(folder_); });
  }
  error_of(ErrorKind::kConfig, [&] { read_peft_config(folder_ / "absent"); });
}

TEST_F(PeftTest, WritesWhatItReads) {
  for (const bool pattern : {false, true}) {
    PeftConfig config;
    config.base_model_name_or_path = "models/tiny";
    config.r = 16;
    config.lora_alpha = pattern ? 0.5 : 32.0;
    config.lora_dropout = 0.05;
    config.target_modules = pattern ? std::vector<std::string>{".*q_proj"}
                                    : std::vector<std::string>{"q_proj", "v_proj"};
    config.target_modules_is_pattern = pattern;
    config.use_rslora = pattern;
    config.use_dora = pattern;
    if (pattern) config.rank_pattern = {{"v_proj", 3}, {R"(layers\.1\.q_proj)", 7}};
    if (pattern) config.modules_to_save = {"embed_tokens", "lm_head"};
    config.ensure_weight_tying = pattern;
    if (pattern) config.alpha_pattern = {{"v_proj", 2.5}, {"q_proj", 4}};
    write_peft_config(folder_, config);
    const PeftConfig back = read_peft_config(folder_);
    EXPECT_EQ(back.base_model_name_or_path, config.base_model_name_or_path);
    EXPECT_EQ(back.r, config.r);
    EXPECT_EQ(back.lora_alpha, config.lora_alpha);
    EXPECT_EQ(back.lora_dropout, config.lora_dropout);
    EXPECT_EQ(back.target_modules, config.target_modules);
    EXPECT_EQ(back.target_modules_is_pattern, config.target_modules_is_pattern);
    EXPECT_EQ(back.use_rslora, config.use_rslora);
    EXPECT_EQ(back.use_dora, config.use_dora);
    EXPECT_EQ(back.rank_pattern, config.rank_pattern);  // in order
    EXPECT_EQ(back.alpha_pattern, config.alpha_pattern);
    EXPECT_EQ(back.modules_to_save, config.modules_to_save);
    EXPECT_EQ(back.ensure_weight_tying, config.ensure_weight_tying);
    const auto json = nlohmann::json::parse(slurp(folder_ / kPeftConfigFile));
    EXPECT_EQ(json["lora_alpha"].is_number_integer(), !pattern);
  }
}

TEST(PeftNames, GoBothWays) {
  const std::string path = "model.layers.0.self_attn.q_proj";
  const std::string name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
  EXPECT_EQ(peft_tensor_name(path, LoraFactor::kA), name);
  for (const LoraFactor factor : {LoraFactor::kA, LoraFactor::kB, LoraFactor::kMagnitude}) {
    const auto parsed = parse_peft_tensor_name(peft_tensor_name(path, factor));
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(parsed->module_path, path);
    EXPECT_EQ(parsed->factor, factor);
  }
  for (const char* other :
       {"model.layers.0.q_proj.lora_A.weight", "base_model.model.lm_head.weight",
        "base_model.model.lora_magnitude_vector", "base_model.model..lora_A.weigh",
        "base_model.model.x.lora_embedding_A", "base_model.model.lora_A.weight", ""}) {
    EXPECT_FALSE(parse_peft_tensor_name(other).has_value()) << other;
  }
}

TEST(PeftGolden, ReadsTheAdapterThatPeftWrote) {
  const std::filesystem::path folder =
      std::filesystem::path(ATHANOR_GOLDEN_DIR) / "llama_tied" / "adapter";
  if (!std::filesystem::exists(folder / kPeftConfigFile)) {
    GTEST_SKIP() << folder << " is not there";
  }
  const PeftConfig config = read_peft_config(folder);
  EXPECT_GT(config.r, 0);
  EXPECT_FALSE(config.target_modules.empty());
  const SafetensorsFile file(folder / kPeftWeightsFile);
  EXPECT_FALSE(file.entries().empty());
  for (const TensorEntry& entry : file.entries()) {
    const auto name = parse_peft_tensor_name(entry.name);
    ASSERT_TRUE(name.has_value()) << entry.name;
    EXPECT_EQ(entry.shape[name->factor == LoraFactor::kA ? 0 : 1], config.r) << entry.name;
    EXPECT_EQ(peft_tensor_name(name->module_path, name->factor), entry.name);
  }
}

}  // namespace
}  // namespace athanor

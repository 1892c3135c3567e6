// ModelSpec: a model as units and a chain, with the LoRA parameters beside the layers they adapt.
// The embedding is unit 0, block i unit i + 1; an untied head (final norm and lm_head) is the last
// unit. With tied embeddings the final norm lives in unit 0, whose second use is the head.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/model/lora.h"
#include "runtime/model/transformer_config.h"
#include "sharding/param_spec.h"

namespace athanor {

// Linear layers that a block may have: q, k, v or the three in one, gate, up or the two in one.
enum class Module { kQ, kK, kV, kO, kGate, kUp, kDown, kQkv, kGateUp };
inline constexpr int kNumModules = 9;
const char* module_name(Module module);  // "q_proj", ...

// Indices into a unit's params; -1 where there is none.
struct BlockParams {
  int input_norm = -1;
  int post_attention_norm = -1;  // of the MLP's input
  int attention_output_norm = -1;
  int mlp_output_norm = -1;
  int q_norm = -1;
  int k_norm = -1;
  std::array<int, kNumModules> weight{};
  std::array<int, kNumModules> bias{};
  std::array<int, kNumModules> lora_a{};
  std::array<int, kNumModules> lora_b{};
  std::array<int, kNumModules> lora_magnitude{};
  std::array<int64_t, kNumModules> lora_rank{};
  std::array<float, kNumModules> lora_scaling{};
};

struct ModelSpec {
  TransformerConfig config;
  std::optional<LoraOptions> lora;
  std::vector<UnitSpec> units;
  std::vector<ChainPosition> chain;
  std::vector<BlockParams> blocks;  // by layer
  int embedding_param = 0;          // in unit 0
  int final_norm_param = 0;         // in the unit of the last chain position
  int head_param = 0;               // same
  // The head starts as a copy of the embedding that it was tied to; config has it untied.
  bool head_from_embedding = false;
  int first_backward = 0;  // lowest position with something to train

  int64_t parameters() const;
  int64_t trainable_parameters() const;
};

// Full fine-tuning: everything trains. LoRA: base frozen, `lora` says where, and which modules
// train whole all the same. What is tied and trained alone becomes untied. Names that match nothing
// are Error(kConfig), or kBadInput when an adapter's file has them.
ModelSpec build_model_spec(const TransformerConfig& config, std::optional<LoraOptions> lora,
                           bool train_base);

}  // namespace athanor

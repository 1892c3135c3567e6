// The shape of a decoder-only transformer, read from a Hugging Face config.json by its family.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "kernels/rope/rope.h"
#include "kernels/swiglu/swiglu.h"

namespace athanor {

// Far beyond any model, and so small that no product of them (4096 layers of 2^24 tokens of 2^20
// values) overflows 63 bits: what does not fit is refused by the plan, not by a wrapped number.
inline constexpr int64_t kMaxLayers = 4096;
inline constexpr int64_t kMaxWidth = int64_t{1} << 20;  // hidden, intermediate, heads x head_dim
inline constexpr int64_t kMaxVocab = int64_t{1} << 24;
inline constexpr int64_t kMaxPositions = int64_t{1} << 31;

// What one layer's attention does differently from another's.
struct LayerAttention {
  int64_t window = 0;  // keys that a query sees; 0: all before it
  int rope = 0;        // which of the config's ropes
};

struct TransformerConfig {
  std::string model_type;
  int64_t vocab_size = 0;         // V
  int64_t hidden_size = 0;        // C
  int64_t intermediate_size = 0;  // F
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;  // H
  int64_t num_key_value_heads = 0;  // K
  int64_t head_dim = 0;             // D, even
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  std::vector<RopeSettings> ropes{RopeSettings{}};
  int64_t rotary_dim = 0;              // elements of a head that are rotated, even; at most D
  std::vector<LayerAttention> layers;  // by layer; empty: all alike, without a window
  double initializer_range = 0.02;     // of random weights
  bool tie_word_embeddings = false;
  std::optional<DType> stored_dtype;  // what config.json says of the weights' dtype

  bool qkv_bias = false;           // biases of q, k and v
  bool output_bias = false;        // of o
  bool mlp_bias = false;           // of gate, up and down
  bool fused_projections = false;  // q, k, v are one matrix qkv_proj, gate and up gate_up_proj
  bool qk_norm = false;            // a norm over each head of q and of k, before the rotation
  bool sandwich_norms = false;     // also the outputs of attention and MLP are normalised
  float norm_weight_offset = 0;    // norm weights are kept as 1 + w
  bool scale_embeddings = false;   // by sqrt(C), rounded to the working dtype
  double query_scale = 0;          // of the scores; 0: 1 / sqrt(D)
  float attention_soft_cap = 0;    // of scores; 0: none
  float logit_soft_cap = 0;        // of logits; 0: none
  GateFunction gate = GateFunction::kSilu;

  LayerAttention layer(int64_t index) const {
    return layers.empty() ? LayerAttention{} : layers[static_cast<size_t>(index)];
  }
  int64_t query_size() const { return num_attention_heads * head_dim; }
  int64_t key_value_size() const { return num_key_value_heads * head_dim; }
};

// Reads FOLDER/config.json. An unsupported model_type or option is Error(kBadInput) that names it,
// as is a size that is missing, absurd or inconsistent.
TransformerConfig load_transformer_config(const std::filesystem::path& folder);

// The same from the text of a config.json; `file` begins every message.
TransformerConfig parse_transformer_config(std::string_view text, const std::string& file);

}  // namespace athanor

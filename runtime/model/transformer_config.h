// The shape of a decoder-only transformer, read from a Hugging Face config.json by its family.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/dtype.h"

namespace athanor {

// Far beyond any model, and so small that no product of them (4096 layers of 2^24 tokens of 2^20
// values) overflows 63 bits: what does not fit is refused by the plan, not by a wrapped number.
inline constexpr int64_t kMaxLayers = 4096;
inline constexpr int64_t kMaxWidth = int64_t{1} << 20;  // hidden, intermediate, heads x head_dim
inline constexpr int64_t kMaxVocab = int64_t{1} << 24;

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
  double rope_theta = 10000.0;
  double initializer_range = 0.02;  // of random weights
  bool tie_word_embeddings = false;
  std::optional<DType> stored_dtype;  // what config.json says of the weights' dtype

  int64_t query_size() const { return num_attention_heads * head_dim; }
  int64_t key_value_size() const { return num_key_value_heads * head_dim; }
};

// Reads FOLDER/config.json. An unsupported model_type or option is Error(kBadInput) that names it,
// as is a size that is missing, absurd or inconsistent.
TransformerConfig load_transformer_config(const std::filesystem::path& folder);

// The same from the text of a config.json; `file` begins every message.
TransformerConfig parse_transformer_config(std::string_view text, const std::string& file);

}  // namespace athanor

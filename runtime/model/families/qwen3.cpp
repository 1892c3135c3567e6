// Qwen3 (arXiv:2505.09388): a norm over each head of q and k, head_dim of its own, no biases unless
// attention_bias. Fields as transformers' Qwen3Config.
#include "runtime/model/families/common.h"
#include "runtime/model/families/families.h"

namespace athanor {

TransformerConfig parse_qwen3(const JsonReader& reader) {
  FamilyDefaults defaults;
  defaults.head_dim = 128;
  defaults.max_position_embeddings = 32768;
  TransformerConfig config = parse_common(reader, defaults);
  parse_rope(reader, defaults, config);
  parse_qwen_layers(reader, config);
  config.qkv_bias = config.output_bias = reader.boolean("attention_bias", false);
  config.qk_norm = true;
  need_text(reader, "hidden_act", "silu");
  return config;
}

}  // namespace athanor

// Llama (Touvron et al., arXiv:2302.13971; grouped heads as in Llama 2): config.json's fields as
// transformers' LlamaConfig names them.
#include "runtime/model/families/families.h"
#include "runtime/model/families/json_reader.h"

namespace athanor {

TransformerConfig parse_llama(const JsonReader& reader) {
  TransformerConfig config;
  config.vocab_size = reader.size("vocab_size", kMaxVocab);
  config.hidden_size = reader.size("hidden_size", kMaxWidth);
  config.intermediate_size = reader.size("intermediate_size", kMaxWidth);
  config.num_hidden_layers = reader.size("num_hidden_layers", kMaxLayers);
  config.num_attention_heads = reader.size("num_attention_heads", kMaxWidth);
  config.num_key_value_heads =
      reader.size_or("num_key_value_heads", kMaxWidth, config.num_attention_heads);
  if (!reader.has("head_dim") && config.hidden_size % config.num_attention_heads != 0) {
    reader.fail("hidden_size", "a multiple of num_attention_heads where head_dim is absent");
  }
  config.head_dim =
      reader.size_or("head_dim", kMaxWidth, config.hidden_size / config.num_attention_heads);
  config.max_position_embeddings =
      reader.size_or("max_position_embeddings", int64_t{1} << 31, 2048);
  config.rms_norm_eps = reader.positive("rms_norm_eps", 1e-6);
  config.rope_theta = reader.positive("rope_theta", 10000.0);
  config.initializer_range = reader.positive("initializer_range", 0.02);
  config.tie_word_embeddings = reader.boolean("tie_word_embeddings", false);
  // Newer files keep the rotary settings in a block.
  if (reader.has("rope_parameters")) {
    const auto& block = reader.raw("rope_parameters");
    if (!block.is_object()) reader.fail("rope_parameters", "an object");
    const JsonReader rope(block, reader.file() + ": rope_parameters");
    if (rope.text("rope_type", "default") != "default") {
      reader.fail("rope_parameters", "rope_type default; scaled rotary embedding is not supported");
    }
    config.rope_theta = rope.positive("rope_theta", config.rope_theta);
  }
  if (reader.has("rope_scaling")) {
    reader.fail("rope_scaling", "null; scaled rotary embedding is not supported");
  }
  if (reader.boolean("attention_bias", false)) reader.fail("attention_bias", "false");
  if (reader.boolean("mlp_bias", false)) reader.fail("mlp_bias", "false");
  if (reader.text("hidden_act", "silu") != "silu") reader.fail("hidden_act", "\"silu\"");
  return config;
}

}  // namespace athanor

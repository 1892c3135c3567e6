// Mistral (arXiv:2310.06825): a Llama whose layers all slide; sliding_window null turns that off,
// an absent one is 4,096 as in transformers' MistralConfig.
#include "runtime/model/families/common.h"
#include "runtime/model/families/families.h"

namespace athanor {

TransformerConfig parse_mistral(const JsonReader& reader) {
  FamilyDefaults defaults;
  defaults.max_position_embeddings = 131072;
  TransformerConfig config = parse_common(reader, defaults);
  config.num_key_value_heads =
      reader.size_or("num_key_value_heads", kMaxPositions,
                     reader.present("num_key_value_heads") ? config.num_attention_heads : 8);
  parse_rope(reader, defaults, config);
  const bool off = reader.present("sliding_window") && !reader.has("sliding_window");
  const int64_t window = off ? 0 : reader.size_or("sliding_window", kMaxPositions, 4096);
  config.layers.assign(static_cast<size_t>(config.num_hidden_layers), {window, 0});
  if (reader.has("layer_types")) reader.fail("layer_types", "null (the ministral family)");
  need_text(reader, "hidden_act", "silu");
  return config;
}

}  // namespace athanor

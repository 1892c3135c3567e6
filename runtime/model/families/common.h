// Parts of config.json that families share.
#pragma once

#include "runtime/model/families/json_reader.h"
#include "runtime/model/transformer_config.h"

namespace athanor {

// What a family's transformers class has where config.json is silent.
struct FamilyDefaults {
  int64_t head_dim = 0;  // 0: hidden_size / num_attention_heads
  int64_t max_position_embeddings = 2048;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  bool tie_word_embeddings = false;
};

// Sizes, eps, initializer_range, tying; also marks the keys that change nothing here as known.
TransformerConfig parse_common(const JsonReader& reader, const FamilyDefaults& defaults);

// rope_theta and rope_scaling, or rope_parameters of newer files: default, linear, llama3 and yarn;
// partial_rotary_factor sets rotary_dim. Other kinds are refused by name.
void parse_rope(const JsonReader& reader, const FamilyDefaults& defaults,
                TransformerConfig& config);
// One block of settings.
RopeSettings parse_rope_block(const JsonReader& rope, double theta, int64_t max_positions);

// layer_types: sliding_attention and full_attention by layer; `fallback(layer)` says which layers
// slide where the key is absent. The second rope, where there is one, is that of sliding layers.
template <class Fallback>
void parse_layers(const JsonReader& reader, int64_t window, TransformerConfig& config,
                  const Fallback& fallback) {
  const bool named = reader.has("layer_types");
  if (named &&
      (!reader.raw("layer_types").is_array() ||
       static_cast<int64_t>(reader.raw("layer_types").size()) != config.num_hidden_layers)) {
    reader.fail("layer_types", "one name for each of num_hidden_layers");
  }
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    bool slides = fallback(i);
    if (named) {
      const auto& name = reader.raw("layer_types")[static_cast<size_t>(i)];
      slides = name == "sliding_attention";
      if (!slides && name != "full_attention") {
        reader.fail("layer_types", "sliding_attention or full_attention");
      }
    }
    if (slides && window == 0) reader.fail("sliding_window", "a size, as layers slide");
    config.layers.push_back({slides ? window : 0, slides && config.ropes.size() > 1 ? 1 : 0});
  }
}

// Refuses a key unless it is absent or has the given value.
void need_text(const JsonReader& reader, const char* key, const char* value);
void need_false(const JsonReader& reader, const char* key);
// attention_dropout and the like: probabilities that this program does not apply.
void need_zero(const JsonReader& reader, const char* key);

}  // namespace athanor

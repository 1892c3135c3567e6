// Qwen2 (arXiv:2407.10671): biases of q, k and v that no key announces; layers from
// max_window_layers on slide where use_sliding_window says so. Fields as transformers' Qwen2Config.
#include "runtime/model/families/common.h"
#include "runtime/model/families/families.h"

namespace athanor {

TransformerConfig parse_qwen2(const JsonReader& reader) {
  FamilyDefaults defaults;
  defaults.max_position_embeddings = 32768;
  TransformerConfig config = parse_common(reader, defaults);
  parse_rope(reader, defaults, config);
  parse_qwen_layers(reader, config);
  config.qkv_bias = true;
  need_text(reader, "hidden_act", "silu");
  return config;
}

void parse_qwen_layers(const JsonReader& reader, TransformerConfig& config) {
  const bool slides = reader.boolean("use_sliding_window", false);
  const int64_t window = reader.has("sliding_window") || slides
                             ? reader.size_or("sliding_window", kMaxPositions, 4096)
                             : 0;
  const int64_t first = reader.has("max_window_layers") && reader.raw("max_window_layers") == 0
                            ? 0
                            : reader.size_or("max_window_layers", kMaxPositions, 28);
  parse_layers(reader, slides ? window : 0, config,
               [&](int64_t layer) { return slides && layer >= first; });
}

}  // namespace athanor

// Gemma 2 (arXiv:2408.00118) and the text part of Gemma 3 (arXiv:2503.19786): norm weights around
// zero, norms before and behind attention and MLP, scaled embeddings, GeGLU, alternating sliding
// and full layers; soft caps in Gemma 2, norms of q and k and a rope for each kind of layer in
// Gemma 3. Fields as transformers' Gemma2Config and Gemma3TextConfig.
#include <cmath>

#include "runtime/model/families/common.h"
#include "runtime/model/families/families.h"

namespace athanor {
namespace {

TransformerConfig parse_gemma(const JsonReader& reader, const FamilyDefaults& defaults) {
  TransformerConfig config = parse_common(reader, defaults);
  config.qkv_bias = config.output_bias = reader.boolean("attention_bias", false);
  config.sandwich_norms = true;
  config.norm_weight_offset = 1;
  config.scale_embeddings = true;
  config.gate = GateFunction::kGeluTanh;
  config.query_scale = 1.0 / std::sqrt(reader.positive("query_pre_attn_scalar", 256));
  need_false(reader, "use_bidirectional_attention");
  // hidden_act, which old files also have, is not read by these models.
  reader.ignore({"hidden_act"});
  need_text(reader, "hidden_activation", "gelu_pytorch_tanh");
  return config;
}

// null turns a cap off, an absent key is the class's default.
float cap(const JsonReader& reader, const char* key, double fallback) {
  if (reader.present(key) && !reader.has(key)) return 0;
  return static_cast<float>(fallback > 0 || reader.has(key) ? reader.positive(key, fallback) : 0);
}

int64_t window(const JsonReader& reader) {
  if (reader.present("sliding_window") && !reader.has("sliding_window")) return 0;
  return reader.size_or("sliding_window", kMaxPositions, 4096);
}

// rope_parameters of newer Gemma 3 files has a block for each kind of layer.
void parse_gemma3_ropes(const JsonReader& reader, TransformerConfig& config) {
  const double full = reader.positive("rope_theta", 1e6);
  const double local = reader.positive("rope_local_base_freq", 1e4);
  config.ropes.assign(2, {});
  config.ropes[0].theta = full;
  config.ropes[1].theta = local;
  if (reader.has("rope_parameters")) {
    const auto& blocks = reader.raw("rope_parameters");
    if (!blocks.is_object()) reader.fail("rope_parameters", "an object");
    const JsonReader kinds(blocks, reader.place("rope_parameters"));
    const std::pair<const char*, double> names[] = {{"full_attention", full},
                                                    {"sliding_attention", local}};
    for (size_t i = 0; i < 2; ++i) {
      if (!kinds.has(names[i].first)) continue;
      const JsonReader rope(kinds.raw(names[i].first), kinds.place(names[i].first));
      config.ropes[i] = parse_rope_block(rope, names[i].second, config.max_position_embeddings);
    }
    kinds.refuse_unknown();
  }
  if (reader.has("rope_scaling")) {
    const JsonReader rope(reader.raw("rope_scaling"), reader.place("rope_scaling"));
    config.ropes[0] = parse_rope_block(rope, config.ropes[0].theta, config.max_position_embeddings);
  }
}

}  // namespace

TransformerConfig parse_gemma2(const JsonReader& reader) {
  FamilyDefaults defaults;
  defaults.head_dim = 256;
  defaults.max_position_embeddings = 8192;
  defaults.tie_word_embeddings = true;
  TransformerConfig config = parse_gemma(reader, defaults);
  parse_rope(reader, defaults, config);
  config.attention_soft_cap = cap(reader, "attn_logit_softcapping", 50);
  config.logit_soft_cap = cap(reader, "final_logit_softcapping", 30);
  parse_layers(reader, window(reader), config, [](int64_t layer) { return layer % 2 == 0; });
  return config;
}

TransformerConfig parse_gemma3_text(const JsonReader& reader) {
  FamilyDefaults defaults;
  defaults.head_dim = 256;
  defaults.max_position_embeddings = 131072;
  defaults.tie_word_embeddings = true;
  TransformerConfig config = parse_gemma(reader, defaults);
  parse_gemma3_ropes(reader, config);
  config.qk_norm = true;
  // The class has this key, and its attention does not read it.
  if (reader.has("attn_logit_softcapping")) reader.fail("attn_logit_softcapping", "null");
  config.logit_soft_cap = cap(reader, "final_logit_softcapping", 0);
  const int64_t pattern = reader.size_or("sliding_window_pattern", kMaxPositions, 6);
  parse_layers(reader, window(reader), config,
               [&](int64_t layer) { return (layer + 1) % pattern != 0; });
  return config;
}

}  // namespace athanor

// Phi-3 (arXiv:2404.14219): q, k, v in one matrix and gate, up in another; part of a head may stay
// unrotated. Fields as transformers' Phi3Config. The longrope scaling is not computed.
#include "runtime/model/families/common.h"
#include "runtime/model/families/families.h"

namespace athanor {

TransformerConfig parse_phi3(const JsonReader& reader) {
  FamilyDefaults defaults;
  defaults.max_position_embeddings = 4096;
  defaults.rms_norm_eps = 1e-5;
  TransformerConfig config = parse_common(reader, defaults);
  reader.ignore({"original_max_position_embeddings"});  // of longrope only
  parse_rope(reader, defaults, config);
  if (config.ropes[0].scaling != RopeScaling::kDefault) {
    reader.fail(reader.has("rope_scaling") ? "rope_scaling" : "rope_parameters",
                "rope_type default; Phi-3 reads others as longrope, which is not supported");
  }
  const int64_t window = reader.size_or("sliding_window", kMaxPositions, int64_t{1} << 31);
  config.layers.assign(static_cast<size_t>(config.num_hidden_layers),
                       {reader.has("sliding_window") ? window : 0, 0});
  config.fused_projections = true;
  need_zero(reader, "resid_pdrop");
  need_zero(reader, "embd_pdrop");
  need_false(reader, "attention_bias");
  need_text(reader, "hidden_act", "silu");
  return config;
}

}  // namespace athanor

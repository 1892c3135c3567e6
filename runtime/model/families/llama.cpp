// Llama (Touvron et al., arXiv:2302.13971; grouped heads as in Llama 2, scaled rotary embedding as
// in Llama 3.1): config.json's fields as transformers' LlamaConfig names them.
#include "runtime/model/families/common.h"
#include "runtime/model/families/families.h"

namespace athanor {

TransformerConfig parse_llama(const JsonReader& reader) {
  const FamilyDefaults defaults;
  TransformerConfig config = parse_common(reader, defaults);
  parse_rope(reader, defaults, config);
  config.qkv_bias = config.output_bias = reader.boolean("attention_bias", false);
  config.mlp_bias = reader.boolean("mlp_bias", false);
  need_false(reader, "rope_interleaved");
  need_text(reader, "hidden_act", "silu");
  return config;
}

}  // namespace athanor

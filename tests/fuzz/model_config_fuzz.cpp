// config.json of a model.
#include <cmath>
#include <iterator>

#include "runtime/model/transformer_config.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace athanor;
  fuzz::expect_only_errors([&] {
    const TransformerConfig config =
        parse_transformer_config(fuzz::text_of(data, size), "config.json");
    ATHANOR_CHECK(config.vocab_size >= 1 && config.vocab_size <= kMaxVocab, "vocab_size");
    ATHANOR_CHECK(config.hidden_size >= 1 && config.hidden_size <= kMaxWidth, "hidden_size");
    ATHANOR_CHECK(config.intermediate_size >= 1 && config.intermediate_size <= kMaxWidth, "inner");
    ATHANOR_CHECK(config.num_hidden_layers >= 1 && config.num_hidden_layers <= kMaxLayers,
                  "num_hidden_layers");
    ATHANOR_CHECK(config.head_dim >= 2 && config.head_dim % 2 == 0, "head_dim");
    ATHANOR_CHECK(config.query_size() <= kMaxWidth, "query_size");
    ATHANOR_CHECK(config.num_attention_heads % config.num_key_value_heads == 0, "heads");
    ATHANOR_CHECK(static_cast<float>(config.rms_norm_eps) > 0, "rms_norm_eps");
    ATHANOR_CHECK(config.rotary_dim >= 2 && config.rotary_dim % 2 == 0, "rotary_dim");
    ATHANOR_CHECK(config.rotary_dim <= config.head_dim, "rotary_dim");
    ATHANOR_CHECK(!config.ropes.empty(), "ropes");
    for (const RopeSettings& rope : config.ropes) {
      ATHANOR_CHECK(static_cast<float>(rope.theta) > 0, "theta");
      ATHANOR_CHECK(static_cast<float>(rope.factor) > 0, "factor");
      ATHANOR_CHECK(std::isfinite(rope.attention_factor), "attention_factor");
    }
    ATHANOR_CHECK(config.layers.empty() || std::ssize(config.layers) == config.num_hidden_layers,
                  "layers");
    for (const LayerAttention& layer : config.layers) {
      ATHANOR_CHECK(layer.window >= 0 && layer.rope >= 0, "layer");
      ATHANOR_CHECK(layer.rope < std::ssize(config.ropes), "layer.rope");
    }
  });
  return 0;
}

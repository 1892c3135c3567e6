// The table of model families. A family is one file that turns its config.json into a
// TransformerConfig; tensor names are common to all of them so far (model_spec.cpp).
#pragma once

#include <span>

#include "runtime/model/transformer_config.h"

namespace athanor {

class JsonReader;

struct Family {
  const char* model_type;
  TransformerConfig (*parse)(const JsonReader& reader);
};

std::span<const Family> families();

TransformerConfig parse_gemma2(const JsonReader& reader);
TransformerConfig parse_gemma3_text(const JsonReader& reader);
TransformerConfig parse_llama(const JsonReader& reader);
TransformerConfig parse_mistral(const JsonReader& reader);
TransformerConfig parse_phi3(const JsonReader& reader);
TransformerConfig parse_qwen2(const JsonReader& reader);
TransformerConfig parse_qwen3(const JsonReader& reader);

// The layers of Qwen2 and Qwen3 that slide.
void parse_qwen_layers(const JsonReader& reader, TransformerConfig& config);

}  // namespace athanor

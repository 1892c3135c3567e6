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

TransformerConfig parse_llama(const JsonReader& reader);

}  // namespace athanor

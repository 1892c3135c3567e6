// The rotary tables of a model: one for each of its ropes, one after another.
#pragma once

#include <cstdint>

#include "core/stream.h"
#include "core/tensor.h"
#include "runtime/model/transformer_config.h"

namespace athanor {

// [ropes * positions, rotary_dim] f32
inline Shape rope_tables_shape(const TransformerConfig& config, int64_t positions) {
  return {static_cast<int64_t>(config.ropes.size()) * positions, config.rotary_dim};
}

inline void fill_rope_tables(Tensor tables, const TransformerConfig& config, Stream& stream) {
  const int64_t positions = tables.dim(0) / static_cast<int64_t>(config.ropes.size());
  for (size_t i = 0; i < config.ropes.size(); ++i) {
    rope_table(tables.rows(static_cast<int64_t>(i) * positions, positions), config.ropes[i],
               stream);
  }
}

}  // namespace athanor

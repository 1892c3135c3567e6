// Rows of bfloat16 to float32 and back, vectorised.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace athanor::cpu {

// to[i] = from[i], exact
void widen_row(float* to, const bfloat16* from, int64_t n);
// even[i], odd[i] = the pair from[i], exact; odd may be null, and either may be `from` itself
void widen_pairs(float* even, float* odd, const void* from, int64_t n);
// to[i] = round(from[i])
void round_row(bfloat16* to, const float* from, int64_t n);
// to[i] = round(from[i] + to[i]), rounded once to bfloat16
void add_round_row(bfloat16* to, const float* from, int64_t n);

}  // namespace athanor::cpu

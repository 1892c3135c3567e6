// Loops that the compiler vectorises; this file is compiled for that. convert_x86.cpp is by hand.
#include "kernels/cpu/convert.h"

#include <cstring>

namespace athanor::cpu {

void widen_row(float* __restrict to, const bfloat16* __restrict from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = to_float(from[i]);
}

void widen_pairs(float* even, float* odd, const void* from, int64_t n) {
  const auto* const pairs = static_cast<const unsigned char*>(from);
  for (int64_t i = 0; i < n; ++i) {
    bfloat16 pair[2];
    std::memcpy(pair, pairs + i * 4, sizeof(pair));
    even[i] = to_float(pair[0]);
    if (odd != nullptr) odd[i] = to_float(pair[1]);
  }
}

void round_row(bfloat16* __restrict to, const float* __restrict from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = to_bfloat16(from[i]);
}

void add_round_row(bfloat16* __restrict to, const float* __restrict from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = to_bfloat16(from[i] + to_float(to[i]));
}

}  // namespace athanor::cpu

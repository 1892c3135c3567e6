// Many Philox blocks at once: philox_run_x86.cpp or philox_run_generic.cpp, chosen by CMake, with
// the same bits.
#pragma once

#include <cstdint>

#include "kernels/dropout/mask.h"

namespace athanor::cpu {

inline constexpr int64_t kPhiloxRun = 128;  // words, that is 32 blocks

// bits[4 b + w] = mask.block(first + b)[w] for b < kPhiloxRun / 4
void philox_run(uint32_t* bits, const DropoutMask& mask, uint32_t first);

}  // namespace athanor::cpu

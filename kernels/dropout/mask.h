// The dropout mask as a function of element numbers, the same on every backend.
//
//   Philox4x32-10, key: (low, high) word of StepScalars::seed XOR kDropoutDomain
//   counter of element e: (e / 4, step, micro_batch, site); element e takes word e % 4
//   keep iff (word >> 8) * 2^-24 >= p
//
// Each part of the counter is 32 bits. The domain keeps masks apart from other uses of the seed.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/philox.h"

namespace athanor {

inline constexpr uint64_t kDropoutDomain = 0x9D3C'77E1'5B20'A4F6;  // arbitrary

struct DropoutMask {
  uint32_t key0 = 0;
  uint32_t key1 = 0;
  uint32_t step = 0;
  uint32_t micro_batch = 0;
  uint32_t site = 0;
  uint32_t threshold = 0;  // of word >> 8
  float keep_scale = 1;    // 1 / (1 - p)

  // The words of elements 4 index ... 4 index + 3.
  PhiloxBlock block(uint32_t index) const {
    return philox4x32({index, step, micro_batch, site}, key0, key1);
  }
};

inline DropoutMask make_dropout_mask(float probability, uint64_t seed, uint32_t step,
                                     uint32_t micro_batch, uint32_t site) {
  const uint64_t key = seed ^ kDropoutDomain;
  // u >= p for u = k 2^-24 is k >= ceil(p 2^24): p 2^24 is exact.
  return {static_cast<uint32_t>(key),
          static_cast<uint32_t>(key >> 32),
          step,
          micro_batch,
          site,
          static_cast<uint32_t>(std::ceil(probability * 0x1p24f)),
          1.0f / (1.0f - probability)};
}

}  // namespace athanor

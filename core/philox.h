// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel Random Numbers: As Easy as
// 1, 2, 3" (SC11). Every random number of a run is a pure function of a key and a counter, so that
// no result depends on ranks, threads or order.
#pragma once

#include <array>
#include <cstdint>

namespace athanor {

using PhiloxBlock = std::array<uint32_t, 4>;

inline PhiloxBlock philox4x32(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(product1),
        static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return counter;
}

// Uniform in [0, 1) with 24 bits.
inline float uniform_from_bits(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1.0p-24f; }

// A stream of uniforms addressed by element: element i is word i % 4 of block i / 4 under
// (seed, stream). `stream` separates uses; (word2, word3) of the counter carry it.
struct PhiloxKey {
  uint64_t seed = 0;
  uint64_t stream = 0;

  PhiloxBlock block(uint64_t index) const {
    return philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                       static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
                      static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  }
  uint32_t bits(uint64_t element) const { return block(element / 4)[element % 4]; }
  float uniform(uint64_t element) const { return uniform_from_bits(bits(element)); }
};

}  // namespace athanor

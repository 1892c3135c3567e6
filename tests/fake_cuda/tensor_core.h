// A product of one tile on emulated tensor cores, for tensor_core_test.cpp.
#pragma once

#include <cstdint>
#include <vector>

namespace fake_cuda::testing {

inline constexpr int kTileRows = 16;
inline constexpr int kTileColumns = 16;
inline constexpr int kTileDepth = 64;

enum class TileBug { kNone, kMissingWait, kMissingBarrier };

// c[16, 16] = a[16, 64] b[64, 16], bits of bfloat16 in, two warps with eight columns each.
std::vector<float> tile_product(const std::vector<uint16_t>& a, const std::vector<uint16_t>& b,
                                TileBug bug);

}  // namespace fake_cuda::testing

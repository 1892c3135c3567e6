// What the lanes of a warp exchange once all have arrived.
#include <cstring>

#include "tests/fake_cuda/runtime/device.h"

namespace fake_cuda {
namespace {

constexpr int kWarp = 32;

}  // namespace

void combine_shuffle(void* const* lanes, unsigned mask) {
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    auto& mine = *static_cast<Shuffle*>(lanes[lane]);
    if ((mask >> mine.source & 1) == 0) {  // undefined on the device
      std::memset(mine.result, 0xFF, sizeof mine.result);
    } else {
      std::memcpy(mine.result, static_cast<Shuffle*>(lanes[mine.source])->value,
                  sizeof mine.result);
    }
  }
}

void combine_vote(void* const* lanes, unsigned mask) {
  unsigned ballot = 0;
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) != 0 && static_cast<Vote*>(lanes[lane])->predicate) ballot |= 1u << lane;
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) != 0) static_cast<Vote*>(lanes[lane])->ballot = ballot;
  }
}

}  // namespace fake_cuda

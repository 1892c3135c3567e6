#include "kernels/dropout/philox_run.h"

namespace athanor::cpu {

void philox_run(uint32_t* bits, const DropoutMask& mask, uint32_t first) {
  for (uint32_t b = 0; b < kPhiloxRun / 4; ++b) {
    const PhiloxBlock words = mask.block(first + b);
    for (uint32_t w = 0; w < 4; ++w) bits[4 * b + w] = words[w];
  }
}

}  // namespace athanor::cpu

// x86-64: AVX2, the baseline of the build, and AVX-512 where it is in use.
#include "kernels/attention/tile_math_loops.h"
#include "kernels/cpu/isa.h"

namespace athanor::cpu {

TileMath tile_math() {
  return active_cpu_isa() >= CpuIsa::kAvx512 ? tile_math_avx512() : kTileMath;
}

}  // namespace athanor::cpu

// Compiled for AVX-512.
#include "kernels/attention/tile_math_loops.h"

namespace athanor::cpu {

TileMath tile_math_avx512() { return kTileMath; }

}  // namespace athanor::cpu

// One instruction set: the baseline of the build.
#include "kernels/attention/tile_math_loops.h"

namespace athanor::cpu {

TileMath tile_math() { return kTileMath; }

}  // namespace athanor::cpu

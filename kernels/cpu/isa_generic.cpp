// Machines other than x86-64: the portable kernels only.
#include "kernels/cpu/isa.h"
#include "kernels/cpu/tile_kernels.h"

namespace athanor {

CpuIsa detect_cpu_isa() { return CpuIsa::kGeneric; }

namespace cpu {

TileKernels tile_kernels_for(CpuIsa) { return {4, tile_gemm_generic, nullptr, nullptr}; }

}  // namespace cpu
}  // namespace athanor

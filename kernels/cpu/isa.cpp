// The cap on the instruction set and the choice of kernels that follows from it.
#include "kernels/cpu/isa.h"

#include <algorithm>
#include <atomic>

#include "kernels/cpu/tile_kernels.h"

namespace athanor {
namespace {

std::atomic<CpuIsa> widest_allowed{CpuIsa::kAvx512Bf16};

}  // namespace

const char* cpu_isa_name(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kGeneric:
      return "generic";
    case CpuIsa::kAvx2:
      return "avx2";
    case CpuIsa::kAvx512:
      return "avx512";
    case CpuIsa::kAvx512Bf16:
      return "avx512_bf16";
  }
  return "?";
}

void limit_cpu_isa(CpuIsa widest) { widest_allowed.store(widest, std::memory_order_relaxed); }

CpuIsa active_cpu_isa() {
  static const CpuIsa detected = detect_cpu_isa();
  return std::min(detected, widest_allowed.load(std::memory_order_relaxed));
}

namespace cpu {

TileKernels tile_kernels() { return tile_kernels_for(active_cpu_isa()); }

TileGemm tile_gemm() { return tile_kernels().f32; }

}  // namespace cpu
}  // namespace athanor

// x86-64: what the CPU and the operating system support, and the kernels for it.
#include "kernels/cpu/isa.h"
#include "kernels/cpu/tile_kernels.h"

namespace athanor {

CpuIsa detect_cpu_isa() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return CpuIsa::kGeneric;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")) {
    return CpuIsa::kAvx2;
  }
  return __builtin_cpu_supports("avx512bf16") ? CpuIsa::kAvx512Bf16 : CpuIsa::kAvx512;
}

namespace cpu {

TileKernels tile_kernels_for(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kAvx512Bf16:
      return {8, tile_gemm_avx512, tile_gemm_avx512_bf16, nullptr};
    case CpuIsa::kAvx512:
      return {8, tile_gemm_avx512, nullptr, row_times_pairs_avx2};
    case CpuIsa::kAvx2:
      return {6, tile_gemm_avx2, nullptr, row_times_pairs_avx2};
    case CpuIsa::kGeneric:
      break;
  }
  return {4, tile_gemm_generic, nullptr, nullptr};
}

}  // namespace cpu
}  // namespace athanor

// What differs between nvcc and the emulation, for nvcc. The other one is
// tests/fake_cuda/port/athanor_gpu_port.cuh; CMake chooses. Kernels include
// kernels/cuda/launch.cuh.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <source_location>

namespace athanor::cuda::port {

using Location = std::source_location;

template <class... P>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, const Location&, P... arguments) {
  if (shared_bytes > size_t{48} << 10) {
    const cudaError_t error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                   static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

template <class T>
__device__ __forceinline__ T& dyn_smem() {
  extern __shared__ __align__(128) unsigned char shared_bytes_of_block[];
  return *reinterpret_cast<T*>(shared_bytes_of_block);
}

__device__ __forceinline__ void require(bool condition) {
  if (!condition) __trap();
}

__device__ __forceinline__ void require_aligned(const void*, size_t) {}

}  // namespace athanor::cuda::port

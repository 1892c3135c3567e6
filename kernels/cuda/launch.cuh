// The one header that kernels include for the device: launches, shared memory, checks, vectors. It
// compiles with nvcc and, for the emulation of tests/fake_cuda, as C++.
#pragma once

#include <athanor_gpu_port.cuh>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "core/cuda_device.h"
#include "core/error.h"

namespace athanor::cuda {

// Where and how a kernel runs. Written as {queue, grid, block}, it knows the line of the launch.
struct LaunchConfig {
  LaunchConfig(const CudaQueue& queue, dim3 grid_size, dim3 block_size, size_t shared = 0,
               const port::Location& location = port::Location::current())
      : stream(queue.stream),
        grid(grid_size),
        block(block_size),
        shared_bytes(shared),
        at(location) {}
  cudaStream_t stream;
  dim3 grid;
  dim3 block;
  size_t shared_bytes;
  port::Location at;
};

// kernel<<<...>>>(arguments...); arguments convert to the kernel's own parameter types. An empty
// grid, which CUDA refuses, launches nothing.
template <class... P, class... A>
void launch(const LaunchConfig& config, void (*kernel)(P...), const A&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "the kernel has another number of parameters");
  if (config.grid.x == 0) return;
  const cudaError_t error = port::launch(kernel, config.grid, config.block, config.shared_bytes,
                                         config.stream, config.at, static_cast<P>(arguments)...);
  if (error == cudaSuccess) return;
  throw Error(ErrorKind::kInternal, std::string("launch at ") + config.at.file_name() + ":" +
                                        std::to_string(config.at.line()) + ": " +
                                        cudaGetErrorString(error));
}

// The shared memory of the block, seen as one structure.
using port::dyn_smem;
// Stops the device when the condition does not hold: what the host has checked already.
using port::require;

// Blocks of a grid, as CUDA takes them: at most 2^31 - 1.
inline unsigned grid_size(int64_t blocks) { return static_cast<unsigned>(narrow<int32_t>(blocks)); }
inline unsigned blocks_for(int64_t items, int64_t per_block) {
  return grid_size((items + per_block - 1) / per_block);
}

// `count` neighbours loaded or stored at once. Addresses are multiples of the vector's size.
template <class T, int count>
struct alignas(sizeof(T) * count) Vector {
  T at[count];
};

template <int count, class T>
__device__ __forceinline__ Vector<T, count> load_vector(const T* from) {
  port::require_aligned(from, sizeof(T) * count);
  return *reinterpret_cast<const Vector<T, count>*>(from);
}

template <int count, class T>
__device__ __forceinline__ void store_vector(T* to, const Vector<T, count>& value) {
  port::require_aligned(to, sizeof(T) * count);
  *reinterpret_cast<Vector<T, count>*>(to) = value;
}

}  // namespace athanor::cuda

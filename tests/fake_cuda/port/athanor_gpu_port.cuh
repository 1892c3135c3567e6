// What differs between nvcc and the emulation, for the emulation; the twin of
// kernels/cuda/nvcc/athanor_gpu_port.cuh.
#pragma once

#include <tuple>

#include "tests/fake_cuda/runtime/device.h"

namespace athanor::cuda::port {

using Location = std::source_location;

template <class... P>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, const Location& at, P... arguments) {
  int index = 0;
  (fake_cuda::check_argument(arguments, index++, at), ...);
  fake_cuda::enqueue_kernel(
      grid, block, shared_bytes, stream,
      [kernel, copies = std::tuple<P...>(arguments...)] { std::apply(kernel, copies); }, at);
  return cudaSuccess;
}

template <class T>
T& dyn_smem() {
  return *static_cast<T*>(fake_cuda::shared_memory());
}

inline void require(bool condition, const Location& at = Location::current()) {
  if (!condition) fake_cuda::trap(at);
}

inline void require_aligned(const void* pointer, size_t bytes,
                            const Location& at = Location::current()) {
  fake_cuda::check_alignment(pointer, bytes, at);
}

}  // namespace athanor::cuda::port

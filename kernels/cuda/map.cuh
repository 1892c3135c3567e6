// One thread an element: what is the same for all elementwise kernels.
#pragma once

#include "kernels/cuda/launch.cuh"

namespace athanor::cuda {

inline constexpr int kMapThreads = 256;

template <class Body>
__global__ void __launch_bounds__(kMapThreads) map_kernel(Body body, int64_t n) {
  const int64_t i = int64_t{blockIdx.x} * kMapThreads + threadIdx.x;
  if (i < n) body(i);
}

// body(i) for i in [0, n), on the device; `body` is a device lambda that captures by value.
template <class Body>
void map(const CudaQueue& queue, int64_t n, const Body& body,
         const port::Location& at = port::Location::current()) {
  launch({queue, blocks_for(n, kMapThreads), kMapThreads, 0, at}, map_kernel<Body>, body, n);
}

}  // namespace athanor::cuda

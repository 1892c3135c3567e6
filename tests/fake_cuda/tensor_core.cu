// Tiles of depth 16 come through two buffers of shared memory by asynchronous copies; b is stored
// by rows, so that its fragments are loaded transposed.
#include "tests/fake_cuda/tensor_core.h"

#include <cstring>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/mma.cuh"

namespace fake_cuda::testing {
namespace {

using namespace athanor::cuda;  // NOLINT: what kernels are written in

constexpr int kDepth = 16;
constexpr int kPitch =
    24;  // elements of a row in shared memory: 48 bytes, so that rows are aligned

struct Shared {
  uint16_t a[2][kTileRows][kPitch];
  uint16_t b[2][kDepth][kPitch];
};

// 64 threads move 16 bytes each: rows 0-15 of a, then of b, two pieces a row.
__device__ void fetch(Shared& shared, int buffer, const uint16_t* a, const uint16_t* b, int step) {
  const int row = static_cast<int>(threadIdx.x) % 32 / 2;
  const int piece = static_cast<int>(threadIdx.x) % 2 * 8;
  if (threadIdx.x < 32) {
    cp_async_16(&shared.a[buffer][row][piece], a + row * kTileDepth + step * kDepth + piece);
  } else {
    cp_async_16(&shared.b[buffer][row][piece], b + (step * kDepth + row) * kTileColumns + piece);
  }
  cp_async_commit();
}

__global__ void __launch_bounds__(64)
    product_kernel(float* c, const uint16_t* a, const uint16_t* b, TileBug bug) {
  auto& shared = dyn_smem<Shared>();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  float sum[4] = {};
  fetch(shared, 0, a, b, 0);
  constexpr int kSteps = kTileDepth / kDepth;
  for (int step = 0; step < kSteps; ++step) {
    if (step + 1 < kSteps) fetch(shared, (step + 1) % 2, a, b, step + 1);
    if (bug != TileBug::kMissingWait) {
      step + 1 < kSteps ? cp_async_wait<1>() : cp_async_wait<0>();
    }
    __syncthreads();
    uint32_t a_tiles[4];
    uint32_t b_tiles[4];
    const int row = lane % 16;
    ldmatrix_x4<false>(a_tiles, &shared.a[step % 2][row][lane / 16 * 8]);
    ldmatrix_x4<true>(b_tiles, &shared.b[step % 2][row][lane / 16 * 8]);
    const uint32_t b_pairs[2] = {b_tiles[warp * 2], b_tiles[warp * 2 + 1]};
    mma_m16n8k16_bf16(sum, a_tiles, b_pairs);
    if (bug != TileBug::kMissingBarrier) __syncthreads();  // before the buffer is filled again
  }
  if (bug == TileBug::kMissingWait) cp_async_wait<0>();
  const int g = lane / 4;
  const int t = lane % 4;
  for (int e = 0; e < 4; ++e) {
    c[(g + e / 2 * 8) * kTileColumns + warp * 8 + t * 2 + e % 2] = sum[e];
  }
}

template <class T>
T* device_copy(const std::vector<T>& values, cudaStream_t stream) {
  const size_t bytes = values.size() * sizeof(T);
  void* pinned = nullptr;
  void* device = nullptr;
  cudaMallocHost(&pinned, bytes);
  cudaMalloc(&device, bytes);
  std::memcpy(pinned, values.data(), bytes);
  cudaMemcpyAsync(device, pinned, bytes, cudaMemcpyHostToDevice, stream);
  cudaStreamSynchronize(stream);
  cudaFreeHost(pinned);
  return static_cast<T*>(device);
}

}  // namespace

std::vector<float> tile_product(const std::vector<uint16_t>& a, const std::vector<uint16_t>& b,
                                TileBug bug) {
  athanor::CudaQueue queue;
  cudaStreamCreateWithFlags(&queue.stream, cudaStreamNonBlocking);
  std::vector<float> c(kTileRows * kTileColumns);
  uint16_t* const a_device = device_copy(a, queue.stream);
  uint16_t* const b_device = device_copy(b, queue.stream);
  float* const c_device = device_copy(c, queue.stream);
  launch({queue, 1, 64, sizeof(Shared)}, product_kernel, c_device, a_device, b_device, bug);
  const size_t bytes = c.size() * sizeof(float);
  void* pinned = nullptr;
  cudaMallocHost(&pinned, bytes);
  cudaMemcpyAsync(pinned, c_device, bytes, cudaMemcpyDeviceToHost, queue.stream);
  cudaStreamSynchronize(queue.stream);
  std::memcpy(c.data(), pinned, bytes);
  cudaFreeHost(pinned);
  for (void* memory :
       {static_cast<void*>(a_device), static_cast<void*>(b_device), static_cast<void*>(c_device)}) {
    cudaFree(memory);
  }
  cudaStreamDestroy(queue.stream);
  return c;
}

}  // namespace fake_cuda::testing

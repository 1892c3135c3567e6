#include "tests/fake_cuda/planted.h"

#include <cuda_runtime.h>

#include <cstring>
#include <vector>

#include "kernels/cuda/launch.cuh"
#include "tests/fake_cuda/runtime/control.h"

namespace fake_cuda::testing {
namespace {

using athanor::CudaQueue;
using athanor::cuda::dyn_smem;
using athanor::cuda::launch;

constexpr int kThreads = 64;
constexpr int kBlocks = 3;
constexpr int kCount = kThreads * kBlocks;

struct BlockSums {
  float value[kThreads];
};

// sums[block] = sum of the block's elements, each thread's element reversed on the way.
__global__ void block_sums(float* sums, const float* x, Bug bug) {
  auto& shared = dyn_smem<BlockSums>();
  const unsigned t = threadIdx.x;
  shared.value[t] = x[blockIdx.x * kThreads + t];
  if (bug == Bug::kEarlyExit && t >= 32) return;
  if (bug == Bug::kDivergentBarrier && t == 5) {
    __syncthreads();
  } else if (bug != Bug::kMissingBarrier) {
    __syncthreads();
  }
  float value = shared.value[kThreads - 1 - t];
  if (bug == Bug::kAbsentLanes && t % 32 == 31) return;
  for (int bit = 16; bit > 0; bit /= 2) value += __shfl_xor_sync(0xffffffffu, value, bit);
  __syncthreads();
  if (t % 32 == 0) shared.value[t] = value;
  __syncthreads();
  if (t == 0) sums[blockIdx.x] = shared.value[0] + shared.value[32];
}

// y[i] = x[i] of the neighbour in the warp, exchanged through shared memory.
__global__ void swap_neighbours(float* y, const float* x, Bug bug) {
  auto& shared = dyn_smem<BlockSums>();
  const unsigned t = threadIdx.x;
  const unsigned i = blockIdx.x * kThreads + t;
  shared.value[t] = x[i];
  if (bug != Bug::kMissingWarpSync) __syncwarp();
  y[i] = shared.value[t ^ 1u];
}

__global__ void increment(float* y, const float* x) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  y[i] = x[i] + 1;
}

struct Pointers {
  float* y;
  const float* x;
};
__global__ void increment_struct(Pointers pointers) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  pointers.y[i] = pointers.x[i] + 1;
}

__global__ void store_at(float* y, int64_t at) { y[at] = 1; }
__global__ void store_shared_at(int64_t at) { dyn_smem<BlockSums>().value[at] = 1; }
__global__ void all_blocks_store(float* y) {
  if (threadIdx.x == 0) y[0] = static_cast<float>(blockIdx.x);
}
__global__ void load_four(float* y, const float* x, int64_t at) {
  y[threadIdx.x] = athanor::cuda::load_vector<4>(x + at).at[threadIdx.x % 4];
}

// Buffers of the program: two on the device, two pinned, two streams, two events.
struct Program {
  Program() {
    for (float** buffer : {&x, &y, &z}) cudaMalloc(as_void(buffer), kBytes);
    for (float** buffer : {&host_in, &host_out}) cudaMallocHost(as_void(buffer), kBytes);
    for (CudaQueue* queue : {&a, &b}) {
      cudaStreamCreateWithFlags(&queue->stream, cudaStreamNonBlocking);
    }
    for (cudaEvent_t* event : {&ready, &used}) {
      cudaEventCreateWithFlags(event, cudaEventDisableTiming);
    }
    name_allocation(x, "x");
    name_allocation(y, "y");
    for (int i = 0; i < kCount; ++i) host_in[i] = static_cast<float>(i % 17);
    upload(x);
    upload(y);
    cudaStreamSynchronize(a.stream);
  }
  static void** as_void(float** pointer) { return reinterpret_cast<void**>(pointer); }
  void upload(float* to) { cudaMemcpyAsync(to, host_in, kBytes, cudaMemcpyHostToDevice, a.stream); }
  void download(const float* from, const CudaQueue& queue, int count = kCount) {
    cudaMemcpyAsync(host_out, from, sizeof(float) * static_cast<size_t>(count),
                    cudaMemcpyDeviceToHost, queue.stream);
    cudaStreamSynchronize(queue.stream);
  }
  bool every(float added) const {
    for (int i = 0; i < kCount; ++i) {
      if (!(host_out[i] == host_in[i] + added)) return false;
    }
    return true;
  }

  static constexpr size_t kBytes = sizeof(float) * kCount;
  float *x = nullptr, *y = nullptr, *z = nullptr;
  float *host_in = nullptr, *host_out = nullptr;
  CudaQueue a, b;
  cudaEvent_t ready = nullptr, used = nullptr;
};

// Stream a fills y, stream b reads it, a overwrites it; twice.
bool two_streams(Program& p, Bug bug) {
  bool right = true;
  for (int round = 0; round < 2; ++round) {
    launch({p.a, kBlocks, kThreads}, increment, p.y, p.x);
    cudaEventRecord(p.ready, p.a.stream);
    if (bug != Bug::kMissingEvent) cudaStreamWaitEvent(p.b.stream, p.ready, 0);
    launch({p.b, kBlocks, kThreads}, increment, p.z, p.y);
    cudaEventRecord(p.used, p.b.stream);
    if (bug != Bug::kMissingBackEvent && bug != Bug::kHiddenBackEvent) {
      cudaStreamWaitEvent(p.a.stream, p.used, 0);
    }
    p.upload(p.y);  // x again
    if (bug == Bug::kHiddenBackEvent) continue;
    p.download(p.z, p.b);
    right = right && p.every(2);
  }
  cudaDeviceSynchronize();
  return right;
}

bool block_programs(Program& p, Bug bug) {
  launch({p.a, kBlocks, kThreads, sizeof(BlockSums)}, block_sums, p.y, p.x, bug);
  p.download(p.y, p.a, kBlocks);
  bool right = true;
  for (int block = 0; block < kBlocks; ++block) {
    float want = 0;
    for (int i = 0; i < kThreads; ++i) want += p.host_in[block * kThreads + i];
    right = right && p.host_out[block] == want;
  }
  launch({p.a, kBlocks, kThreads, sizeof(BlockSums)}, swap_neighbours, p.y, p.x, bug);
  p.download(p.y, p.a);
  for (int i = 0; i < kCount; ++i) right = right && p.host_out[i] == p.host_in[i ^ 1];
  return right;
}

bool memory_bugs(Program& p, Bug bug) {
  const CudaQueue none{nullptr};
  std::vector<float> host(kCount, 1.0f);
  switch (bug) {
    case Bug::kStorePastTheEnd: {
      float* odd = nullptr;
      cudaMalloc(Program::as_void(&odd), 100);
      launch({p.a, 1, 1}, store_at, odd, int64_t{25});
      break;
    }
    case Bug::kStoreIntoGuardPage:
      launch({p.a, 1, 1}, store_at, p.x, int64_t{kCount});
      break;
    case Bug::kSharedPastTheEnd:
      launch({p.a, 1, 1, sizeof(BlockSums)}, store_shared_at, int64_t{1100});
      break;
    case Bug::kUseAfterFree: {
      // The pointer reaches the kernel through memory, where no launch can see it.
      cudaFree(p.y);
      launch({p.a, 1, 1}, store_at, p.x, static_cast<int64_t>(p.y - p.x));
      break;
    }
    case Bug::kHostPointer:
      launch({p.a, kBlocks, kThreads}, increment, p.y, host.data());
      break;
    case Bug::kHostPointerInStruct:
      launch({p.a, kBlocks, kThreads}, increment_struct, Pointers{p.y, host.data()});
      break;
    case Bug::kHostReadsDevice:
      return p.x[3] == 3;
    case Bug::kHostWritesDevice:
      p.x[3] = 3;
      break;
    case Bug::kRaceBetweenBlocks:
      launch({p.a, kBlocks, kThreads}, all_blocks_store, p.y);
      break;
    case Bug::kMisaligned:
      launch({p.a, 1, 32}, load_four, p.y, p.x, int64_t{1});
      break;
    case Bug::kPageableCopy:
      cudaMemcpyAsync(p.x, host.data(), Program::kBytes, cudaMemcpyHostToDevice, p.a.stream);
      break;
    case Bug::kReadBeforeCopyEnds: {
      float* pinned = nullptr;
      float* large = nullptr;
      constexpr size_t kLarge = 3 * 4096;
      cudaMallocHost(Program::as_void(&pinned), kLarge);
      cudaMalloc(Program::as_void(&large), kLarge);
      cudaMemcpyAsync(pinned, large, kLarge, cudaMemcpyDeviceToHost, p.a.stream);
      return pinned[1500] == 0;
    }
    case Bug::kDefaultStream:
      launch({none, kBlocks, kThreads}, increment, p.y, p.x);
      break;
    default:
      break;
  }
  cudaDeviceSynchronize();
  return true;
}

}  // namespace

bool run_planted(Bug bug) {
  Program program;
  switch (bug) {
    case Bug::kMissingEvent:
    case Bug::kMissingBackEvent:
    case Bug::kHiddenBackEvent:
      return two_streams(program, bug);
    case Bug::kMissingBarrier:
    case Bug::kMissingWarpSync:
    case Bug::kDivergentBarrier:
    case Bug::kEarlyExit:
    case Bug::kAbsentLanes:
      return block_programs(program, bug);
    case Bug::kNone: {
      launch({program.a, 1, 32}, load_four, program.z, program.x, int64_t{4});
      launch({program.a, kBlocks, kThreads}, increment_struct, Pointers{program.z, program.x});
      return block_programs(program, bug) && two_streams(program, bug);
    }
    default:
      return memory_bugs(program, bug);
  }
}

}  // namespace fake_cuda::testing

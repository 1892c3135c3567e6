// Sums in the order of core/pairwise.h, by warps and blocks: bit for bit what blocked_sum gives on
// the CPU.
#pragma once

#include "core/pairwise.h"
#include "kernels/cuda/launch.cuh"

namespace athanor::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// block_sum of core/pairwise.h by one warp, for all its lanes: lane l is the l-th of the 32 lanes.
template <class Term>
__device__ float warp_block_sum(int64_t n, const Term& term) {
  float lane_sum = 0.0f;
  for (int64_t i = threadIdx.x % kWarp; i < n; i += kWarp) lane_sum = term(i, lane_sum);
  for (int width = kWarp / 2; width >= 1; width /= 2) {
    lane_sum += __shfl_down_sync(kAllLanes, lane_sum, static_cast<unsigned>(width));
  }
  return __shfl_sync(kAllLanes, lane_sum, 0);
}

// Shared memory of a sum over up to kMaxBlocks blocks of 1,024.
struct RowSum {
  static constexpr int64_t kMaxBlocks = 512;
  double blocks[kMaxBlocks];
};

inline void check_row_length(const char* operation, int64_t columns) {
  ATHANOR_CHECK(columns <= RowSum::kMaxBlocks * kSumBlock,
                std::string(operation) + ": rows of " + std::to_string(columns) +
                    " elements are longer than the kernel's " +
                    std::to_string(RowSum::kMaxBlocks * kSumBlock));
}

// blocked_sum of core/pairwise.h by the threads of a block (whole warps, in x), for all of them.
// Barriers before and after: the caller may use `shared` again, and term's operands may then
// change.
template <class Term>
__device__ double row_sum(RowSum& shared, int64_t n, const Term& term) {
  const auto blocks = (n + kSumBlock - 1) / kSumBlock;
  const auto warps = static_cast<int64_t>(blockDim.x) / kWarp;
  __syncthreads();
  for (int64_t block = threadIdx.x / kWarp; block < blocks; block += warps) {
    const int64_t begin = block * kSumBlock;
    const int64_t count = n - begin < kSumBlock ? n - begin : kSumBlock;
    const float sum =
        warp_block_sum(count, [&](int64_t i, float lane) { return term(begin + i, lane); });
    if (threadIdx.x % kWarp == 0) shared.blocks[block] = static_cast<double>(sum);
  }
  // The nodes of the tree are aligned ranges: level by level, each adds its right neighbour.
  for (int64_t stride = 1; stride < blocks; stride *= 2) {
    __syncthreads();
    for (int64_t i = threadIdx.x * 2 * stride; i + stride < blocks; i += blockDim.x * 2 * stride) {
      shared.blocks[i] += shared.blocks[i + stride];
    }
  }
  __syncthreads();
  const double sum = n > 0 ? shared.blocks[0] : 0.0;
  __syncthreads();
  return sum;
}

}  // namespace athanor::cuda

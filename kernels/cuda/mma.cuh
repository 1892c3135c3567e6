// Tensor cores and asynchronous copies of sm_80 and later. Layouts of a warp's fragments are those
// of the PTX manual, "Matrix multiply-accumulate operation using mma instruction": lane l has g = l
// / 4 and t = l % 4.
#pragma once

#include <athanor_gpu_mma.cuh>

namespace athanor::cuda {

// c[16, 8] += a[16, 16] b[16, 8], bf16 products in f32; all 32 lanes call it together.
//   c: (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1)
//   a: pairs (g, 2t), (g+8, 2t), (g, 2t+8), (g+8, 2t+8)   each with its right neighbour, low half
//   first b: pairs (2t, g), (2t+8, g)                           each with its lower neighbour
using port::mma_m16n8k16_bf16;

// Four 8x8 tiles of 16-bit elements from shared memory: lane l passes the address of row l % 8 of
// tile l / 8 (16 bytes, aligned) and gets elements (g, 2t), (g, 2t+1) of each tile; transposed:
// (2t, g), (2t+1, g).
using port::ldmatrix_x4;

// Copies 16 aligned bytes from global to shared memory without registers. Copies of a thread up to
// cp_async_commit are a group; after cp_async_wait<n> all but the thread's newest n groups have
// landed, for this thread: others need a barrier as well.
using port::cp_async_16;
using port::cp_async_commit;
using port::cp_async_wait;

}  // namespace athanor::cuda

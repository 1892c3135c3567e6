// Tensor cores and asynchronous copies, emulated; the twin of kernels/cuda/nvcc.
#pragma once

#include "tests/fake_cuda/runtime/tensor_core.h"

namespace athanor::cuda::port {

using Location = std::source_location;

inline void mma_m16n8k16_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                              const Location& at = Location::current()) {
  fake_cuda::MmaOperands operands{c, a, b};
  fake_cuda::warp_collective(0xffffffffu, fake_cuda::WarpOperation::kMma, &operands,
                             fake_cuda::combine_mma, at);
}

template <bool transposed>
void ldmatrix_x4(uint32_t (&tiles)[4], const void* row, const Location& at = Location::current()) {
  fake_cuda::check_alignment(row, 16, at);
  fake_cuda::MatrixRow data{{}, tiles, transposed};
  // Read by the lane itself, so that sanitizers see who reads.
  for (int i = 0; i < 8; ++i) data.row[i] = static_cast<const uint16_t*>(row)[i];
  fake_cuda::warp_collective(0xffffffffu, fake_cuda::WarpOperation::kLoadMatrix, &data,
                             fake_cuda::combine_load_matrix, at);
}

inline void cp_async_16(void* to_shared, const void* from,
                        const Location& at = Location::current()) {
  fake_cuda::check_alignment(to_shared, 16, at);
  fake_cuda::check_alignment(from, 16, at);
  fake_cuda::async_copy(to_shared, from);
}
inline void cp_async_commit() { fake_cuda::async_commit(); }
template <int groups>
void cp_async_wait() {
  fake_cuda::async_wait(groups);
}

}  // namespace athanor::cuda::port

// CUDA implementation of rope.h. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "core/cuda_device.h"
#include "kernels/rope/rope.h"

namespace athanor::cuda {

void rope_table(CudaQueue& queue, float* cos_sin, const RopeSettings& settings, int64_t positions,
                int64_t rotary_dim);
template <class T>
void rope(CudaQueue& queue, T* x, const int32_t* positions, const float* cos_sin, int64_t tokens,
          int64_t heads, int64_t head_dim, int64_t rotary_dim, int64_t table_rows, bool inverse);

}  // namespace athanor::cuda

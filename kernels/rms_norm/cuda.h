// CUDA implementation of rms_norm.h. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "core/cuda_device.h"

namespace athanor::cuda {

template <class T>
void rms_norm_forward(CudaQueue& queue, T* y, float* rstd, const T* x, const T* weight, double eps,
                      float offset, int64_t rows, int64_t columns);
// dweight and workspace may be null together.
template <class T>
void rms_norm_backward(CudaQueue& queue, T* dx, float* dweight, const T* dy, const T* x,
                       const float* rstd, const T* weight, float offset, float* workspace,
                       int64_t rows, int64_t columns);

}  // namespace athanor::cuda

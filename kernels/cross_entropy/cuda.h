// CUDA implementation of cross_entropy.h. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "core/cuda_device.h"
#include "kernels/step_scalars.h"

namespace athanor::cuda {

// dlogits may be null.
template <class T>
void cross_entropy(CudaQueue& queue, float* loss, T* dlogits, const float* logits,
                   const int32_t* targets, float soft_cap, const StepScalars* scalars, int64_t rows,
                   int64_t vocab);

void soft_cap_logits(CudaQueue& queue, float* logits, float cap, int64_t n);

void add_sum(CudaQueue& queue, double* sum, const float* values, int64_t count);

}  // namespace athanor::cuda

// CUDA implementation of embedding.h. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "core/cuda_device.h"

namespace athanor::cuda {

template <class T>
void embedding_forward(CudaQueue& queue, T* y, const int32_t* ids, const T* weight, int64_t tokens,
                       int64_t vocab_size, int64_t columns);
// The same from the weight's prepared form (kernels/matmul/prepared.h).
template <class T>
void embedding_forward_prepared(CudaQueue& queue, T* y, const int32_t* ids, const T* prepared,
                                int64_t tokens, int64_t vocab_size, int64_t columns);
template <class T>
void embedding_backward(CudaQueue& queue, float* dweight, const T* dy, const int32_t* ids,
                        int64_t tokens, int64_t vocab_size, int64_t columns);

}  // namespace athanor::cuda

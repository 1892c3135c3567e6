// CUDA implementation of swiglu.h. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "core/cuda_device.h"
#include "kernels/swiglu/swiglu.h"

namespace athanor::cuda {

template <class T>
void swiglu_forward(CudaQueue& queue, T* y, const T* gate, const T* up, GateFunction function,
                    int64_t n);
template <class T>
void swiglu_backward(CudaQueue& queue, T* dgate, T* dup, const T* dy, const T* gate, const T* up,
                     GateFunction function, int64_t n);

}  // namespace athanor::cuda

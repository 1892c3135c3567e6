// CPU implementation of swiglu.h. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"
#include "kernels/swiglu/swiglu.h"

namespace athanor::cpu {

template <class T>
void swiglu_forward(ThreadPool& pool, T* y, const T* gate, const T* up, GateFunction function,
                    int64_t n);
template <class T>
void swiglu_backward(ThreadPool& pool, T* dgate, T* dup, const T* dy, const T* gate, const T* up,
                     GateFunction function, int64_t n);

}  // namespace athanor::cpu

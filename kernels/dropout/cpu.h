// CPU implementation of dropout.h. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"
#include "kernels/dropout/mask.h"

namespace athanor::cpu {

template <class T>
void dropout(ThreadPool& pool, T* y, const T* x, const DropoutMask& mask, int64_t n);
template <class T>
void dropout_add(ThreadPool& pool, T* y, const T* x, const DropoutMask& mask, int64_t n);

}  // namespace athanor::cpu

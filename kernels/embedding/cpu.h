// CPU implementation of embedding.h. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"

namespace athanor::cpu {

template <class T>
void embedding_forward(ThreadPool& pool, T* y, const int32_t* ids, const T* weight, int64_t tokens,
                       int64_t vocab_size, int64_t columns);
// The same from the weight's prepared form (kernels/matmul/prepared.h).
template <class T>
void embedding_forward_prepared(ThreadPool& pool, T* y, const int32_t* ids, const T* prepared,
                                int64_t tokens, int64_t vocab_size, int64_t columns);
template <class T>
void embedding_backward(ThreadPool& pool, float* dweight, const T* dy, const int32_t* ids,
                        int64_t tokens, int64_t vocab_size, int64_t columns);

}  // namespace athanor::cpu

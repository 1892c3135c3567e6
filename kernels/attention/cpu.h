// CPU implementation of attention.h. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"
#include "kernels/attention/attention.h"

namespace athanor::cpu {

template <class T>
void attention_forward(ThreadPool& pool, T* o, float* lse, const T* q, const T* k, const T* v,
                       const int32_t* cu_q, const int32_t* cu_k, int64_t sequences, int64_t queries,
                       int64_t keys, const AttentionShape& shape);

template <class T>
void attention_backward(ThreadPool& pool, T* dq, T* dk, T* dv, float* delta, const T* d_o,
                        const T* q, const T* k, const T* v, const T* o, const float* lse,
                        const int32_t* cu, int64_t sequences, int64_t tokens,
                        const AttentionShape& shape);

}  // namespace athanor::cpu

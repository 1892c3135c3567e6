// CPU implementation of dora.h. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"

namespace athanor::cpu {

template <class T>
void row_squares(ThreadPool& pool, float* squares, const T* weight, int64_t out, int64_t in);
template <class T>
void row_squares_prepared(ThreadPool& pool, float* squares, const T* prepared, int64_t out,
                          int64_t in);
template <class T>
void dora_scales(ThreadPool& pool, float* scale, float* norm, const float* squares,
                 const float* product, const float* gram, const T* b, const T* magnitude,
                 float scaling, int64_t out, int64_t rank);
template <class T>
void scale_outputs(ThreadPool& pool, T* y, const T* x, const float* scale, int64_t rows,
                   int64_t out);
template <class T>
void dora_magnitude_backward(ThreadPool& pool, float* dmagnitude, const T* dy, const T* z,
                             const float* norm, int64_t rows, int64_t out);

}  // namespace athanor::cpu

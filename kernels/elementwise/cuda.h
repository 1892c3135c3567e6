// CUDA implementations of elementwise.h. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "core/cuda_device.h"

namespace athanor::cuda {

void fill_zero(CudaQueue& queue, void* y, int64_t bytes);
void copy_bytes(CudaQueue& queue, void* y, const void* x, int64_t bytes);
template <class T>
void fill(CudaQueue& queue, T* y, float value, int64_t n);
// All sizes in bytes.
void copy_columns(CudaQueue& queue, void* y, int64_t y_stride, int64_t y_first, const void* x,
                  int64_t x_stride, int64_t x_first, int64_t row_bytes, int64_t rows);
template <class To, class From>
void convert(CudaQueue& queue, To* y, const From* x, int64_t n);
template <class T>
void add(CudaQueue& queue, T* y, const T* a, const T* b, int64_t n);
template <class T>
void scale(CudaQueue& queue, T* y, const T* x, float factor, int64_t n);
// Rows are byte strings; source_rows and target_rows bound the indices.
void gather_rows(CudaQueue& queue, void* y, const void* x, const int32_t* rows, int64_t count,
                 int64_t source_rows, int64_t row_bytes);
void scatter_rows(CudaQueue& queue, void* y, const void* x, const int32_t* rows, int64_t count,
                  int64_t target_rows, int64_t row_bytes);

}  // namespace athanor::cuda

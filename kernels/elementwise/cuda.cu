// A thread an element; rows move in the widest words that their length and addresses allow.
#include "core/dtype.h"
#include "kernels/cuda/map.cuh"
#include "kernels/elementwise/cuda.h"

namespace athanor::cuda {
namespace {

void check(cudaError_t error, const char* what) {
  ATHANOR_CHECK(error == cudaSuccess, std::string(what) + ": " + cudaGetErrorString(error));
}

// to[to_row(n)] = from[from_row(n)], rows of `row_bytes`, in words of W bytes.
template <int W, bool gather>
void move_words(const CudaQueue& queue, void* y, const void* x, const int32_t* rows, int64_t count,
                int64_t bound, int64_t row_bytes) {
  const int64_t words = row_bytes / W;
  auto* const to = static_cast<uint8_t*>(y);
  const auto* const from = static_cast<const uint8_t*>(x);
  map(queue, count * words, [=] __device__(int64_t i) {
    const int64_t n = i / words;
    const int64_t at = i % words * W;
    const int64_t row = rows[n];
    require(row >= 0 && row < bound);
    const int64_t target = (gather ? n : row) * row_bytes + at;
    const int64_t source = (gather ? row : n) * row_bytes + at;
    store_vector<W>(to + target, load_vector<W>(from + source));
  });
}

template <bool gather>
void move_rows(const CudaQueue& queue, void* y, const void* x, const int32_t* rows, int64_t count,
               int64_t bound, int64_t row_bytes) {
  const auto bits = static_cast<uint64_t>(row_bytes) | reinterpret_cast<uintptr_t>(y) |
                    reinterpret_cast<uintptr_t>(x);
  const auto move = bits % 16 == 0  ? move_words<16, gather>
                    : bits % 4 == 0 ? move_words<4, gather>
                    : bits % 2 == 0 ? move_words<2, gather>
                                    : move_words<1, gather>;
  move(queue, y, x, rows, count, bound, row_bytes);
}

}  // namespace

void fill_zero(CudaQueue& queue, void* y, int64_t bytes) {
  if (bytes == 0) return;
  check(cudaMemsetAsync(y, 0, static_cast<size_t>(bytes), queue.stream), "fill_zero");
}

void copy_bytes(CudaQueue& queue, void* y, const void* x, int64_t bytes) {
  if (y == x || bytes == 0) return;
  check(cudaMemcpyAsync(y, x, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, queue.stream),
        "copy");
}

template <class T>
void fill(CudaQueue& queue, T* y, float value, int64_t n) {
  map(queue, n, [=] __device__(int64_t i) { y[i] = from_float<T>(value); });
}

void copy_columns(CudaQueue& queue, void* y, int64_t y_stride, int64_t y_first, const void* x,
                  int64_t x_stride, int64_t x_first, int64_t row_bytes, int64_t rows) {
  if (row_bytes == 0 || rows == 0) return;
  auto* const to = static_cast<uint8_t*>(y) + y_first;
  const auto* const from = static_cast<const uint8_t*>(x) + x_first;
  check(cudaMemcpy2DAsync(to, static_cast<size_t>(y_stride), from, static_cast<size_t>(x_stride),
                          static_cast<size_t>(row_bytes), static_cast<size_t>(rows),
                          cudaMemcpyDeviceToDevice, queue.stream),
        "copy_columns");
}

template <class To, class From>
void convert(CudaQueue& queue, To* y, const From* x, int64_t n) {
  map(queue, n, [=] __device__(int64_t i) { y[i] = from_float<To>(to_float(x[i])); });
}

template <class T>
void add(CudaQueue& queue, T* y, const T* a, const T* b, int64_t n) {
  map(queue, n,
      [=] __device__(int64_t i) { y[i] = from_float<T>(to_float(a[i]) + to_float(b[i])); });
}

template <class T>
void scale(CudaQueue& queue, T* y, const T* x, float factor, int64_t n) {
  map(queue, n, [=] __device__(int64_t i) { y[i] = from_float<T>(to_float(x[i]) * factor); });
}

void gather_rows(CudaQueue& queue, void* y, const void* x, const int32_t* rows, int64_t count,
                 int64_t source_rows, int64_t row_bytes) {
  move_rows<true>(queue, y, x, rows, count, source_rows, row_bytes);
}

void scatter_rows(CudaQueue& queue, void* y, const void* x, const int32_t* rows, int64_t count,
                  int64_t target_rows, int64_t row_bytes) {
  fill_zero(queue, y, target_rows * row_bytes);
  move_rows<false>(queue, y, x, rows, count, target_rows, row_bytes);
}

template void fill(CudaQueue&, float*, float, int64_t);
template void fill(CudaQueue&, bfloat16*, float, int64_t);
template void convert(CudaQueue&, bfloat16*, const float*, int64_t);
template void convert(CudaQueue&, float*, const bfloat16*, int64_t);
template void add(CudaQueue&, float*, const float*, const float*, int64_t);
template void add(CudaQueue&, bfloat16*, const bfloat16*, const bfloat16*, int64_t);
template void scale(CudaQueue&, float*, const float*, float, int64_t);
template void scale(CudaQueue&, bfloat16*, const bfloat16*, float, int64_t);

}  // namespace athanor::cuda

// A block of four warps a row: the sum in the CPU's order, then the elements, the second time from
// cache. The weight's gradient: a thread a column and chunk of 64 rows, then a thread a column.
#include <cmath>

#include "core/dtype.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/rms_norm/cpu.h"
#include "kernels/rms_norm/cuda.h"

namespace athanor::cuda {
namespace {

constexpr int kThreads = 128;

template <class T>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(T* y, float* rstd, const T* x, const T* weight, double eps, float offset,
                   int64_t columns) {
  auto& shared = dyn_smem<RowSum>();
  const T* const row = x + blockIdx.x * columns;
  const double sum = row_sum(shared, columns, [row](int64_t c, float lane) {
    const float value = to_float(row[c]);
    return std::fma(value, value, lane);
  });
  const auto scale = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(columns) + eps));
  if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) {
    y[blockIdx.x * columns + c] =
        from_float<T>(to_float(row[c]) * scale * (offset + to_float(weight[c])));
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    input_gradient_kernel(T* dx, const T* dy, const T* x, const float* rstd, const T* weight,
                          float offset, int64_t columns) {
  auto& shared = dyn_smem<RowSum>();
  const int64_t row = blockIdx.x * columns;
  const double sum = row_sum(shared, columns, [=](int64_t c, float lane) {
    return std::fma(to_float(dy[row + c]) * (offset + to_float(weight[c])), to_float(x[row + c]),
                    lane);
  });
  const float r = rstd[blockIdx.x];
  const double scale = static_cast<double>(r) * static_cast<double>(r);
  const auto along_x = static_cast<float>(scale * (sum / static_cast<double>(columns)));
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) {
    const float g = to_float(dy[row + c]) * (offset + to_float(weight[c]));
    const float gradient = std::fma(-to_float(x[row + c]), along_x, g);
    dx[row + c] = from_float<T>(std::fma(r, gradient, to_float(dx[row + c])));
  }
}

// sums[chunk, c] over the rows of a chunk, in order.
template <class T>
__global__ void __launch_bounds__(kThreads)
    chunk_sums_kernel(float* sums, const T* dy, const T* x, const float* rstd, int64_t rows,
                      int64_t columns, unsigned column_blocks) {
  const int64_t chunk = blockIdx.x / column_blocks;
  const int64_t c = int64_t{blockIdx.x % column_blocks} * kThreads + threadIdx.x;
  if (c >= columns) return;
  const int64_t begin = chunk * cpu::kRmsNormChunkRows;
  const int64_t last = begin + cpu::kRmsNormChunkRows;
  float sum = 0.0f;
  for (int64_t n = begin; n < (last < rows ? last : rows); ++n) {
    sum = std::fma(to_float(dy[n * columns + c]), to_float(x[n * columns + c]) * rstd[n], sum);
  }
  sums[chunk * columns + c] = sum;
}

// dweight[c] += the chunk sums of c along the pairwise tree, level by level in place.
__global__ void __launch_bounds__(kThreads)
    combine_chunks_kernel(float* dweight, float* sums, int64_t chunks, int64_t columns) {
  const int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (c >= columns) return;
  for (int64_t stride = 1; stride < chunks; stride *= 2) {
    for (int64_t i = 0; i + stride < chunks; i += 2 * stride) {
      sums[i * columns + c] += sums[(i + stride) * columns + c];
    }
  }
  dweight[c] += sums[c];
}

}  // namespace

template <class T>
void rms_norm_forward(CudaQueue& queue, T* y, float* rstd, const T* x, const T* weight, double eps,
                      float offset, int64_t rows, int64_t columns) {
  check_row_length("rms_norm_forward", columns);
  launch({queue, grid_size(rows), kThreads, sizeof(RowSum)}, forward_kernel<T>, y, rstd, x, weight,
         eps, offset, columns);
}

template <class T>
void rms_norm_backward(CudaQueue& queue, T* dx, float* dweight, const T* dy, const T* x,
                       const float* rstd, const T* weight, float offset, float* workspace,
                       int64_t rows, int64_t columns) {
  check_row_length("rms_norm_backward", columns);
  if (dweight != nullptr && rows > 0) {
    const int64_t chunks = (rows + cpu::kRmsNormChunkRows - 1) / cpu::kRmsNormChunkRows;
    const unsigned column_blocks = blocks_for(columns, kThreads);
    launch({queue, grid_size(chunks * column_blocks), kThreads}, chunk_sums_kernel<T>, workspace,
           dy, x, rstd, rows, columns, column_blocks);
    launch({queue, column_blocks, kThreads}, combine_chunks_kernel, dweight, workspace, chunks,
           columns);
  }
  launch({queue, grid_size(rows), kThreads, sizeof(RowSum)}, input_gradient_kernel<T>, dx, dy, x,
         rstd, weight, offset, columns);
}

template void rms_norm_forward(CudaQueue&, float*, float*, const float*, const float*, double,
                               float, int64_t, int64_t);
template void rms_norm_forward(CudaQueue&, bfloat16*, float*, const bfloat16*, const bfloat16*,
                               double, float, int64_t, int64_t);
template void rms_norm_backward(CudaQueue&, float*, float*, const float*, const float*,
                                const float*, const float*, float, float*, int64_t, int64_t);
template void rms_norm_backward(CudaQueue&, bfloat16*, float*, const bfloat16*, const bfloat16*,
                                const float*, const bfloat16*, float, float*, int64_t, int64_t);

}  // namespace athanor::cuda

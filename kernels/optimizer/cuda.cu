// The rules of update_rules.h, a thread an element; scalars are prepared in float64 by the first
// thread of a block, from device memory, so that a captured step can be replayed.
#include "core/dtype.h"
#include "kernels/cuda/map.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/optimizer/cuda.h"

namespace athanor::cuda {
namespace {

constexpr int kThreads = 256;

template <class W>
__global__ void __launch_bounds__(kThreads)
    adamw_kernel(W* working, float* master, float* m, float* v, const float* grad,
                 AdamWOptions options, double weight_decay, const StepScalars* step, int64_t n) {
  auto& scalars = dyn_smem<AdamWScalars>();
  if (threadIdx.x == 0) scalars = adamw_scalars(options, weight_decay, *step);
  __syncthreads();
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  adamw_element(master[i], m[i], v[i], grad[i], scalars);
  if (working != nullptr) working[i] = from_float<W>(master[i]);
}

template <class W>
__global__ void __launch_bounds__(kThreads)
    sgd_kernel(W* working, float* master, const float* grad, double weight_decay,
               const StepScalars* step, int64_t n) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  sgd_element(master[i], grad[i], sgd_scalars(weight_decay, *step));
  if (working != nullptr) working[i] = from_float<W>(master[i]);
}

// A warp a block of 1,024.
__global__ void __launch_bounds__(kThreads)
    square_sums_kernel(double* sums, const float* x, int64_t n) {
  const int64_t block = int64_t{blockIdx.x} * (kThreads / kWarp) + threadIdx.x / kWarp;
  const int64_t begin = block * kSumBlock;
  if (begin >= n) return;
  const float sum = warp_block_sum(
      n - begin < kSumBlock ? n - begin : kSumBlock,
      [=](int64_t i, float lane) { return std::fma(x[begin + i], x[begin + i], lane); });
  if (threadIdx.x % kWarp == 0) sums[block] = static_cast<double>(sum);
}

}  // namespace

template <class W>
void adamw_update(CudaQueue& queue, W* working, float* master, float* m, float* v,
                  const float* grad, const AdamWOptions& options, double weight_decay,
                  const StepScalars* scalars, int64_t n) {
  launch({queue, blocks_for(n, kThreads), kThreads, sizeof(AdamWScalars)}, adamw_kernel<W>, working,
         master, m, v, grad, options, weight_decay, scalars, n);
}

template <class W>
void sgd_update(CudaQueue& queue, W* working, float* master, const float* grad, double weight_decay,
                const StepScalars* scalars, int64_t n) {
  launch({queue, blocks_for(n, kThreads), kThreads}, sgd_kernel<W>, working, master, grad,
         weight_decay, scalars, n);
}

void block_square_sums(CudaQueue& queue, double* sums, const float* x, int64_t n) {
  launch({queue, blocks_for(n, kSumBlock * (kThreads / kWarp)), kThreads}, square_sums_kernel, sums,
         x, n);
}

void tree_add(CudaQueue& queue, float* y, const float* a, const float* b, int64_t n) {
  map(queue, n, [=] __device__(int64_t i) { y[i] = a[i] + b[i]; });
}

template void adamw_update(CudaQueue&, float*, float*, float*, float*, const float*,
                           const AdamWOptions&, double, const StepScalars*, int64_t);
template void adamw_update(CudaQueue&, bfloat16*, float*, float*, float*, const float*,
                           const AdamWOptions&, double, const StepScalars*, int64_t);
template void sgd_update(CudaQueue&, float*, float*, const float*, double, const StepScalars*,
                         int64_t);
template void sgd_update(CudaQueue&, bfloat16*, float*, const float*, double, const StepScalars*,
                         int64_t);

}  // namespace athanor::cuda

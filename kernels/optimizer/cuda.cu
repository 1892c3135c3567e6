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

template <class W>
__global__ void __launch_bounds__(kThreads)
    lion_kernel(W* working, float* master, float* m, const float* grad, AdamWOptions options,
                double weight_decay, const StepScalars* step, int64_t n) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  lion_element(master[i], m[i], grad[i], lion_scalars(options, weight_decay, *step));
  if (working != nullptr) working[i] = from_float<W>(master[i]);
}

__device__ float warp_max(float x) {
  for (int width = kWarp / 2; width >= 1; width /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, x, width);
    x = x < other ? other : x;
  }
  return x;
}

// A warp a block of eight-bit moments, its lanes 32 elements apart; the codes' values in shared
// memory.
struct EightBitShared {
  AdamWScalars scalars;
  float of_m[256];
  float of_v[256];
};
static_assert(kThreads == 256);

template <class W>
__global__ void __launch_bounds__(kThreads)
    adamw8_kernel(W* working, float* master, EightBitBlock* m, EightBitBlock* v, const float* grad,
                  AdamWOptions options, double weight_decay, const StepScalars* step, int64_t n) {
  auto& shared = dyn_smem<EightBitShared>();
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread == 0) shared.scalars = adamw_scalars(options, weight_decay, *step);
  shared.of_m[thread] = code_value(EightBitKind::kSigned, thread);
  shared.of_v[thread] = code_value(EightBitKind::kUnsigned, thread);
  __syncthreads();
  const int64_t block = int64_t{blockIdx.x} * (kThreads / kWarp) + thread / kWarp;
  const int64_t begin = block * kEightBitBlock;
  if (begin >= n) return;
  constexpr int kEach = kEightBitBlock / kWarp;
  const int lane = thread % kWarp;
  const float m_scale = m[block].absmax;
  const float v_scale = v[block].absmax;
  float first[kEach] = {};
  float second[kEach] = {};
  float m_max = 0;
  float v_max = 0;
  for (int k = 0; k < kEach; ++k) {
    const int at = k * kWarp + lane;
    const int64_t i = begin + at;
    if (i >= n) continue;
    first[k] = shared.of_m[m[block].code[at]] * m_scale;
    second[k] = shared.of_v[v[block].code[at]] * v_scale;
    adamw_element(master[i], first[k], second[k], grad[i], shared.scalars);
    if (working != nullptr) working[i] = from_float<W>(master[i]);
    m_max = m_max < std::fabs(first[k]) ? std::fabs(first[k]) : m_max;
    v_max = v_max < second[k] ? second[k] : v_max;
  }
  m_max = warp_max(m_max);
  v_max = warp_max(v_max);
  __syncwarp();  // all have read the old ones
  if (lane == 0) {
    m[block].absmax = m_max;
    v[block].absmax = v_max;
  }
  for (int k = 0; k < kEach; ++k) {
    const int at = k * kWarp + lane;
    m[block].code[at] = static_cast<uint8_t>(nearest_code(shared.of_m, share_of(first[k], m_max)));
    v[block].code[at] = static_cast<uint8_t>(
        second_moment_code(nearest_code(shared.of_v, share_of(second[k], v_max)), second[k]));
  }
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
void adamw8_update(CudaQueue& queue, W* working, float* master, EightBitBlock* m, EightBitBlock* v,
                   const float* grad, const AdamWOptions& options, double weight_decay,
                   const StepScalars* scalars, int64_t n) {
  launch(
      {queue, blocks_for(n, kEightBitBlock * (kThreads / kWarp)), kThreads, sizeof(EightBitShared)},
      adamw8_kernel<W>, working, master, m, v, grad, options, weight_decay, scalars, n);
}

template <class W>
void lion_update(CudaQueue& queue, W* working, float* master, float* m, const float* grad,
                 const AdamWOptions& options, double weight_decay, const StepScalars* scalars,
                 int64_t n) {
  launch({queue, blocks_for(n, kThreads), kThreads}, lion_kernel<W>, working, master, m, grad,
         options, weight_decay, scalars, n);
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
template void adamw8_update(CudaQueue&, float*, float*, EightBitBlock*, EightBitBlock*,
                            const float*, const AdamWOptions&, double, const StepScalars*, int64_t);
template void adamw8_update(CudaQueue&, bfloat16*, float*, EightBitBlock*, EightBitBlock*,
                            const float*, const AdamWOptions&, double, const StepScalars*, int64_t);
template void lion_update(CudaQueue&, float*, float*, float*, const float*, const AdamWOptions&,
                          double, const StepScalars*, int64_t);
template void lion_update(CudaQueue&, bfloat16*, float*, float*, const float*, const AdamWOptions&,
                          double, const StepScalars*, int64_t);
template void sgd_update(CudaQueue&, float*, float*, const float*, double, const StepScalars*,
                         int64_t);
template void sgd_update(CudaQueue&, bfloat16*, float*, const float*, double, const StepScalars*,
                         int64_t);

}  // namespace athanor::cuda

// A block of eight warps a row, which reads it three times: maximum, sum of exponentials in the
// CPU's order, gradient.
#include <cmath>
#include <limits>

#include "core/dtype.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/cross_entropy/cuda.h"
#include "kernels/cuda/map.cuh"
#include "kernels/cuda/reduce.cuh"

namespace athanor::cuda {
namespace {

constexpr int kThreads = 256;

struct Shared {
  RowSum sum;
  float max[kThreads / kWarp];
};

__device__ float larger(float a, float b) { return b > a ? b : a; }  // passes over NaNs in b

__device__ float row_max(Shared& shared, const float* x, int64_t n) {
  float max = -std::numeric_limits<float>::infinity();
  for (int64_t i = threadIdx.x; i < n; i += kThreads) max = larger(max, x[i]);
  for (int bit = kWarp / 2; bit >= 1; bit /= 2) {
    max = larger(max, __shfl_xor_sync(kAllLanes, max, bit));
  }
  if (threadIdx.x % kWarp == 0) shared.max[threadIdx.x / kWarp] = max;
  __syncthreads();
  for (float other : shared.max) max = larger(max, other);
  return max;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_kernel(float* loss, T* dlogits, const float* logits, const int32_t* targets,
                         float soft_cap, const StepScalars* scalars, int64_t vocab) {
  auto& shared = dyn_smem<Shared>();
  const float* const x = logits + blockIdx.x * vocab;
  const int64_t target = targets[blockIdx.x];
  require(target >= 0 && target < vocab);
  const float target_logit = x[target];
  const float max = row_max(shared, x, vocab);
  const double sum =
      row_sum(shared.sum, vocab, [=](int64_t i, float lane) { return lane + exp_f32(x[i] - max); });
  // The difference first: beside a large maximum the logarithm would be lost.
  if (threadIdx.x == 0) {
    loss[blockIdx.x] = static_cast<float>(
        std::log(sum) + (static_cast<double>(max) - static_cast<double>(target_logit)));
  }
  if (dlogits == nullptr) return;
  const double loss_scale = scalars->loss_scale;
  const auto scale = static_cast<float>(loss_scale / sum);
  const float inverse_cap = soft_cap > 0 ? 1.0f / soft_cap : 0.0f;
  for (int64_t i = threadIdx.x; i < vocab; i += kThreads) {
    float gradient = exp_f32(x[i] - max);
    if (i == target) {
      const double p = static_cast<double>(gradient) / sum;
      double slope = 1.0;
      if (soft_cap > 0) {
        const double tanh = static_cast<double>(target_logit) / static_cast<double>(soft_cap);
        slope -= tanh * tanh;
      }
      gradient = static_cast<float>((p - 1.0) * slope * loss_scale);
    } else {
      gradient *= scale;
      const float tanh = x[i] * inverse_cap;
      if (soft_cap > 0) gradient *= std::fma(-tanh, tanh, 1.0f);
    }
    dlogits[blockIdx.x * vocab + i] = from_float<T>(gradient);
  }
}

__global__ void __launch_bounds__(kThreads)
    add_sum_kernel(double* sum, const float* values, int64_t count) {
  const double added =
      row_sum(dyn_smem<RowSum>(), count, [=](int64_t i, float lane) { return lane + values[i]; });
  if (threadIdx.x == 0) *sum += added;
}

}  // namespace

template <class T>
void cross_entropy(CudaQueue& queue, float* loss, T* dlogits, const float* logits,
                   const int32_t* targets, float soft_cap, const StepScalars* scalars, int64_t rows,
                   int64_t vocab) {
  check_row_length("cross_entropy", vocab);
  launch({queue, grid_size(rows), kThreads, sizeof(Shared)}, cross_entropy_kernel<T>, loss, dlogits,
         logits, targets, soft_cap, scalars, vocab);
}

void soft_cap_logits(CudaQueue& queue, float* logits, float cap, int64_t n) {
  map(queue, n, [=] __device__(int64_t i) { logits[i] = soft_cap_f32(logits[i], cap); });
}

void add_sum(CudaQueue& queue, double* sum, const float* values, int64_t count) {
  check_row_length("add_sum", count);
  launch({queue, 1, kThreads, sizeof(RowSum)}, add_sum_kernel, sum, values, count);
}

template void cross_entropy(CudaQueue&, float*, float*, const float*, const int32_t*, float,
                            const StepScalars*, int64_t, int64_t);
template void cross_entropy(CudaQueue&, float*, bfloat16*, const float*, const int32_t*, float,
                            const StepScalars*, int64_t, int64_t);

}  // namespace athanor::cuda

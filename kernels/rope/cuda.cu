// A thread a pair of elements; a thread a column of the table.
#include <cmath>

#include "core/dtype.h"
#include "kernels/cuda/map.cuh"
#include "kernels/rope/cuda.h"
#include "kernels/rope/frequency.h"

namespace athanor::cuda {

// The device's float64 functions may differ from the host's in the last bit, which the rounding to
// float32 hides but for rare ties.
void rope_table(CudaQueue& queue, float* cos_sin, const RopeSettings& wanted, int64_t positions,
                int64_t rotary_dim) {
  const RopeSettings settings = wanted;  // captured by value
  const int64_t half = rotary_dim / 2;
  const auto scale = static_cast<float>(settings.attention_factor);
  map(queue, positions * half, [=] __device__(int64_t i) {
    const int64_t p = i / half;
    const int64_t j = i % half;
    const float frequency = rope_frequency(settings, j, rotary_dim);
    const auto angle = static_cast<double>(static_cast<float>(p) * frequency);
    cos_sin[p * rotary_dim + j] = static_cast<float>(std::cos(angle)) * scale;
    cos_sin[p * rotary_dim + half + j] = static_cast<float>(std::sin(angle)) * scale;
  });
}

template <class T>
void rope(CudaQueue& queue, T* x, const int32_t* positions, const float* cos_sin, int64_t tokens,
          int64_t heads, int64_t head_dim, int64_t rotary_dim, int64_t table_rows, bool inverse) {
  const int64_t half = rotary_dim / 2;
  const float sign = inverse ? -1.0f : 1.0f;
  map(queue, tokens * heads * half, [=] __device__(int64_t i) {
    const int64_t head = i / half;
    const int64_t j = i % half;
    const int64_t position = positions[head / heads];
    require(position >= 0 && position < table_rows);
    const float* const row = cos_sin + position * rotary_dim;
    T& low = x[head * head_dim + j];
    T& high = x[head * head_dim + half + j];
    const float a = to_float(low);
    const float b = to_float(high);
    const float s = sign * row[half + j];
    low = from_float<T>(std::fma(a, row[j], -(b * s)));
    high = from_float<T>(std::fma(b, row[j], a * s));
  });
}

template void rope(CudaQueue&, float*, const int32_t*, const float*, int64_t, int64_t, int64_t,
                   int64_t, int64_t, bool);
template void rope(CudaQueue&, bfloat16*, const int32_t*, const float*, int64_t, int64_t, int64_t,
                   int64_t, int64_t, bool);

}  // namespace athanor::cuda

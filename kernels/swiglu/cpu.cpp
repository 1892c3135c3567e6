#include "kernels/swiglu/cpu.h"

#include <cmath>

#include "core/dtype.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/elementwise/tiles.h"

namespace athanor::cpu {

template <class T>
void swiglu_forward(ThreadPool& pool, T* y, const T* gate, const T* up, int64_t n) {
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    alignas(64) float g[kTile];
    alignas(64) float u[kTile];
    load_tile(g, gate + begin, count);
    load_tile(u, up + begin, count);
    for (int64_t i = 0; i < count; ++i) g[i] = g[i] * sigmoid_f32(g[i]) * u[i];
    store_tile(y + begin, g, count);
  });
}

template <class T>
void swiglu_backward(ThreadPool& pool, T* dgate, T* dup, const T* dy, const T* gate, const T* up,
                     int64_t n) {
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    alignas(64) float d[kTile];
    alignas(64) float g[kTile];
    alignas(64) float u[kTile];
    load_tile(d, dy + begin, count);
    load_tile(g, gate + begin, count);
    load_tile(u, up + begin, count);
    for (int64_t i = 0; i < count; ++i) {
      const float s = sigmoid_f32(g[i]);
      const float silu = g[i] * s;
      const float dsilu = s * std::fma(g[i], 1.0f - s, 1.0f);
      g[i] = d[i] * u[i] * dsilu;
      u[i] = d[i] * silu;
    }
    store_tile(dgate + begin, g, count);
    store_tile(dup + begin, u, count);
  });
}

template void swiglu_forward(ThreadPool&, float*, const float*, const float*, int64_t);
template void swiglu_forward(ThreadPool&, bfloat16*, const bfloat16*, const bfloat16*, int64_t);
template void swiglu_backward(ThreadPool&, float*, float*, const float*, const float*, const float*,
                              int64_t);
template void swiglu_backward(ThreadPool&, bfloat16*, bfloat16*, const bfloat16*, const bfloat16*,
                              const bfloat16*, int64_t);

}  // namespace athanor::cpu

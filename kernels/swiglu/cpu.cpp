#include "kernels/swiglu/cpu.h"

#include "core/dtype.h"
#include "kernels/elementwise/tiles.h"
#include "kernels/swiglu/gate.h"

namespace athanor::cpu {

namespace {

template <GateFunction function, class T>
void forward(ThreadPool& pool, T* y, const T* gate, const T* up, int64_t n) {
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    alignas(64) float g[kTile];
    alignas(64) float u[kTile];
    load_tile(g, gate + begin, count);
    load_tile(u, up + begin, count);
    for (int64_t i = 0; i < count; ++i) g[i] = gated_value<function>(g[i]) * u[i];
    store_tile(y + begin, g, count);
  });
}

template <GateFunction function, class T>
void backward(ThreadPool& pool, T* dgate, T* dup, const T* dy, const T* gate, const T* up,
              int64_t n) {
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    alignas(64) float d[kTile];
    alignas(64) float g[kTile];
    alignas(64) float u[kTile];
    load_tile(d, dy + begin, count);
    load_tile(g, gate + begin, count);
    load_tile(u, up + begin, count);
    for (int64_t i = 0; i < count; ++i) {
      const Gated f = gated<function>(g[i]);
      g[i] = d[i] * u[i] * f.slope;
      u[i] = d[i] * f.value;
    }
    store_tile(dgate + begin, g, count);
    store_tile(dup + begin, u, count);
  });
}

}  // namespace

template <class T>
void swiglu_forward(ThreadPool& pool, T* y, const T* gate, const T* up, GateFunction function,
                    int64_t n) {
  if (function == GateFunction::kSilu) {
    forward<GateFunction::kSilu>(pool, y, gate, up, n);
  } else {
    forward<GateFunction::kGeluTanh>(pool, y, gate, up, n);
  }
}

template <class T>
void swiglu_backward(ThreadPool& pool, T* dgate, T* dup, const T* dy, const T* gate, const T* up,
                     GateFunction function, int64_t n) {
  if (function == GateFunction::kSilu) {
    backward<GateFunction::kSilu>(pool, dgate, dup, dy, gate, up, n);
  } else {
    backward<GateFunction::kGeluTanh>(pool, dgate, dup, dy, gate, up, n);
  }
}

template void swiglu_forward(ThreadPool&, float*, const float*, const float*, GateFunction,
                             int64_t);
template void swiglu_forward(ThreadPool&, bfloat16*, const bfloat16*, const bfloat16*, GateFunction,
                             int64_t);
template void swiglu_backward(ThreadPool&, float*, float*, const float*, const float*, const float*,
                              GateFunction, int64_t);
template void swiglu_backward(ThreadPool&, bfloat16*, bfloat16*, const bfloat16*, const bfloat16*,
                              const bfloat16*, GateFunction, int64_t);

}  // namespace athanor::cpu

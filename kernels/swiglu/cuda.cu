// A thread an element: all operands are read before the results are written, which may be in place.
#include "core/dtype.h"
#include "kernels/cuda/map.cuh"
#include "kernels/swiglu/cuda.h"
#include "kernels/swiglu/gate.h"

namespace athanor::cuda {
namespace {

template <GateFunction function, class T>
void forward(const CudaQueue& queue, T* y, const T* gate, const T* up, int64_t n) {
  map(queue, n, [=] __device__(int64_t i) {
    y[i] = from_float<T>(gated_value<function>(to_float(gate[i])) * to_float(up[i]));
  });
}

template <GateFunction function, class T>
void backward(const CudaQueue& queue, T* dgate, T* dup, const T* dy, const T* gate, const T* up,
              int64_t n) {
  map(queue, n, [=] __device__(int64_t i) {
    const float d = to_float(dy[i]);
    const float u = to_float(up[i]);
    const Gated f = gated<function>(to_float(gate[i]));
    dgate[i] = from_float<T>(d * u * f.slope);
    dup[i] = from_float<T>(d * f.value);
  });
}

}  // namespace

template <class T>
void swiglu_forward(CudaQueue& queue, T* y, const T* gate, const T* up, GateFunction function,
                    int64_t n) {
  if (function == GateFunction::kSilu) {
    forward<GateFunction::kSilu>(queue, y, gate, up, n);
  } else {
    forward<GateFunction::kGeluTanh>(queue, y, gate, up, n);
  }
}

template <class T>
void swiglu_backward(CudaQueue& queue, T* dgate, T* dup, const T* dy, const T* gate, const T* up,
                     GateFunction function, int64_t n) {
  if (function == GateFunction::kSilu) {
    backward<GateFunction::kSilu>(queue, dgate, dup, dy, gate, up, n);
  } else {
    backward<GateFunction::kGeluTanh>(queue, dgate, dup, dy, gate, up, n);
  }
}

template void swiglu_forward(CudaQueue&, float*, const float*, const float*, GateFunction, int64_t);
template void swiglu_forward(CudaQueue&, bfloat16*, const bfloat16*, const bfloat16*, GateFunction,
                             int64_t);
template void swiglu_backward(CudaQueue&, float*, float*, const float*, const float*, const float*,
                              GateFunction, int64_t);
template void swiglu_backward(CudaQueue&, bfloat16*, bfloat16*, const bfloat16*, const bfloat16*,
                              const bfloat16*, GateFunction, int64_t);

}  // namespace athanor::cuda

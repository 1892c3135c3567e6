#include "kernels/swiglu/swiglu.h"

#include "kernels/backend.h"
#include "kernels/swiglu/cpu.h"
#include "kernels/swiglu/cuda.h"

namespace athanor {
namespace {

// An exponential counts as ten operations.
constexpr double kForwardFlops = 14;
constexpr double kBackwardFlops = 20;

void check_like(const char* operation, const char* name, const ConstTensor& tensor,
                const ConstTensor& gate) {
  expect_shape(operation, name, tensor, gate.shape());
  expect_dtype(operation, name, tensor, gate.dtype());
}

}  // namespace

void swiglu_forward(Tensor y, ConstTensor gate, ConstTensor up, GateFunction function,
                    Stream& stream) {
  constexpr const char* kName = "swiglu_forward";
  check_like(kName, "y", y, gate);
  check_like(kName, "up", up, gate);
  const Cost cost{kName, kForwardFlops * static_cast<double>(y.numel()), gate.bytes() + up.bytes(),
                  y.bytes()};
  dispatch_float(gate.dtype(), kName, [&](auto zero) {
    using T = decltype(zero);
    submit(stream, cost, [=](auto& on) {
      backend::swiglu_forward(on, y.data<T>(), gate.data<T>(), up.data<T>(), function, y.numel());
    });
  });
}

void swiglu_backward(Tensor dgate, Tensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up,
                     GateFunction function, Stream& stream) {
  constexpr const char* kName = "swiglu_backward";
  check_like(kName, "dgate", dgate, gate);
  check_like(kName, "dup", dup, gate);
  check_like(kName, "dy", dy, gate);
  check_like(kName, "up", up, gate);
  const Cost cost{kName, kBackwardFlops * static_cast<double>(dy.numel()),
                  dy.bytes() + gate.bytes() + up.bytes(), dgate.bytes() + dup.bytes()};
  dispatch_float(gate.dtype(), kName, [&](auto zero) {
    using T = decltype(zero);
    submit(stream, cost, [=](auto& on) {
      backend::swiglu_backward(on, dgate.data<T>(), dup.data<T>(), dy.data<T>(), gate.data<T>(),
                               up.data<T>(), function, dy.numel());
    });
  });
}

}  // namespace athanor

#include "kernels/cross_entropy/cross_entropy.h"

#include <string>

#include "kernels/backend.h"
#include "kernels/cross_entropy/cpu.h"
#include "kernels/cross_entropy/cuda.h"

namespace athanor {

void cross_entropy(Tensor loss, Tensor dlogits, ConstTensor logits, ConstTensor targets,
                   float soft_cap, const StepScalars* scalars, Stream& stream) {
  constexpr const char* kName = "cross_entropy";
  const int64_t rows = logits.dim(0);
  const int64_t vocab = logits.dim(1);
  const bool gradient = dlogits.defined();
  expect_shape(kName, "logits", logits, Shape{rows, vocab});
  expect_dtype(kName, "logits", logits, DType::kF32);
  expect_shape(kName, "targets", targets, Shape{rows});
  expect_dtype(kName, "targets", targets, DType::kI32);
  expect_shape(kName, "loss", loss, Shape{rows});
  expect_dtype(kName, "loss", loss, DType::kF32);
  if (gradient) {
    expect_shape(kName, "dlogits", dlogits, logits.shape());
    ATHANOR_CHECK(scalars != nullptr, "cross_entropy: a gradient needs the loss scale");
    ATHANOR_CHECK(dlogits.raw() != logits.raw() || dlogits.dtype() == DType::kF32,
                  "cross_entropy: only float32 gradients can replace the logits");
  }
  // Maximum, difference, exponential (about 16), sum; the gradient once more without the maximum.
  const Cost cost{kName, (gradient ? 38.0 : 20.0) * static_cast<double>(logits.numel()),
                  logits.bytes() + targets.bytes(),
                  loss.bytes() + (gradient ? dlogits.bytes() : 0)};
  dispatch_float(gradient ? dlogits.dtype() : DType::kF32, kName, [&](auto zero) {
    using T = decltype(zero);
    submit(stream, cost, [=](auto& on) {
      backend::cross_entropy(on, loss.data<float>(), gradient ? dlogits.data<T>() : nullptr,
                             logits.data<float>(), targets.data<int32_t>(), soft_cap, scalars, rows,
                             vocab);
    });
  });
}

void soft_cap_logits(Tensor logits, float cap, Stream& stream) {
  constexpr const char* kName = "soft_cap_logits";
  expect_dtype(kName, "logits", logits, DType::kF32);
  ATHANOR_CHECK(cap > 0, "soft_cap_logits: cap " + std::to_string(cap) + " is not positive");
  const Cost cost{kName, 24.0 * static_cast<double>(logits.numel()), logits.bytes(),
                  logits.bytes()};
  submit(stream, cost, [=](auto& on) {
    backend::soft_cap_logits(on, logits.data<float>(), cap, logits.numel());
  });
}

void add_sum(double* sum, ConstTensor values, Stream& stream) {
  constexpr const char* kName = "add_sum";
  expect_shape(kName, "values", values, Shape{values.numel()});
  expect_dtype(kName, "values", values, DType::kF32);
  const Cost cost{kName, static_cast<double>(values.numel()), values.bytes() + 8, 8};
  submit(stream, cost,
         [=](auto& on) { backend::add_sum(on, sum, values.data<float>(), values.numel()); });
}

}  // namespace athanor

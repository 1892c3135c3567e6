#include "kernels/rms_norm/rms_norm.h"

#include <string>

#include "kernels/backend.h"
#include "kernels/rms_norm/cpu.h"
#include "kernels/rms_norm/cuda.h"

namespace athanor {

void rms_norm_forward(Tensor y, Tensor rstd, ConstTensor x, ConstTensor weight, double eps,
                      float offset, Stream& stream) {
  constexpr const char* kName = "rms_norm_forward";
  const int64_t rows = x.dim(0);
  const int64_t columns = x.dim(1);
  expect_shape(kName, "x", x, Shape{rows, columns});
  expect_shape(kName, "y", y, x.shape());
  expect_shape(kName, "rstd", rstd, Shape{rows});
  expect_shape(kName, "weight", weight, Shape{columns});
  expect_dtype(kName, "y", y, x.dtype());
  expect_dtype(kName, "rstd", rstd, DType::kF32);
  expect_dtype(kName, "weight", weight, x.dtype());
  const Cost cost{kName, 4.0 * static_cast<double>(x.numel()), x.bytes() + weight.bytes(),
                  y.bytes() + rstd.bytes()};
  dispatch_float(x.dtype(), kName, [&](auto zero) {
    using T = decltype(zero);
    submit(stream, cost, [=](auto& on) {
      backend::rms_norm_forward(on, y.data<T>(), rstd.data<float>(), x.data<T>(), weight.data<T>(),
                                eps, offset, rows, columns);
    });
  });
}

int64_t rms_norm_backward_workspace(int64_t rows, int64_t columns) {
  return (rows + cpu::kRmsNormChunkRows - 1) / cpu::kRmsNormChunkRows * columns;
}

void rms_norm_backward(Tensor dx, Tensor dweight, ConstTensor dy, ConstTensor x, ConstTensor rstd,
                       ConstTensor weight, float offset, Tensor workspace, Stream& stream) {
  constexpr const char* kName = "rms_norm_backward";
  const int64_t rows = x.dim(0);
  const int64_t columns = x.dim(1);
  const bool trains = dweight.defined();
  expect_shape(kName, "x", x, Shape{rows, columns});
  expect_shape(kName, "dx", dx, x.shape());
  expect_shape(kName, "dy", dy, x.shape());
  expect_shape(kName, "rstd", rstd, Shape{rows});
  expect_shape(kName, "weight", weight, Shape{columns});
  expect_dtype(kName, "dx", dx, x.dtype());
  expect_dtype(kName, "dy", dy, x.dtype());
  expect_dtype(kName, "rstd", rstd, DType::kF32);
  expect_dtype(kName, "weight", weight, x.dtype());
  const int64_t needed = rms_norm_backward_workspace(rows, columns);
  if (trains) {
    expect_shape(kName, "dweight", dweight, Shape{columns});
    expect_dtype(kName, "dweight", dweight, DType::kF32);
    expect_dtype(kName, "workspace", workspace, DType::kF32);
    ATHANOR_CHECK(workspace.defined() && workspace.numel() >= needed,
                  std::string(kName) + ": workspace has shape " + workspace.shape().to_string() +
                      ", needs " + std::to_string(needed) + " elements");
  }
  const int64_t sums = trains ? needed * 4 + dweight.bytes() : 0;
  const Cost cost{kName, (trains ? 10.0 : 7.0) * static_cast<double>(x.numel()),
                  dx.bytes() + dy.bytes() + x.bytes() + rstd.bytes() + weight.bytes() + sums,
                  dx.bytes() + sums};
  dispatch_float(x.dtype(), kName, [&](auto zero) {
    using T = decltype(zero);
    submit(stream, cost, [=](auto& on) {
      backend::rms_norm_backward(on, dx.data<T>(), trains ? dweight.data<float>() : nullptr,
                                 dy.data<T>(), x.data<T>(), rstd.data<float>(), weight.data<T>(),
                                 offset, trains ? workspace.data<float>() : nullptr, rows, columns);
    });
  });
}

}  // namespace athanor

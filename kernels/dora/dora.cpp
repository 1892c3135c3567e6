#include "kernels/dora/dora.h"

#include "kernels/backend.h"
#include "kernels/dora/cpu.h"

namespace athanor {

void weight_row_squares(Tensor squares, const LinearWeight& weight, Stream& stream) {
  constexpr const char* kName = "weight_row_squares";
  expect_shape(kName, "squares", squares, {weight.out_features});
  expect_dtype(kName, "squares", squares, DType::kF32);
  const int64_t out = weight.out_features;
  const int64_t in = weight.in_features;
  const ConstTensor plain = weight.plain;
  const ConstTensor prepared = weight.prepared;
  const double elements = static_cast<double>(out) * static_cast<double>(in);
  const Cost cost{kName, 2 * elements, out * in * dtype_size(weight.dtype), squares.bytes()};
  dispatch_float(weight.dtype, kName, [&](auto zero) {
    using T = decltype(zero);
    stream.submit(cost, [=](ExecContext& context) {
      if (plain.defined()) {
        cpu::row_squares(context.pool, squares.data<float>(), plain.data<T>(), out, in);
      } else {
        cpu::row_squares_prepared(context.pool, squares.data<float>(),
                                  static_cast<const T*>(prepared.raw()), out, in);
      }
    });
  });
}

void dora_scales(Tensor scale, Tensor norm, ConstTensor squares, ConstTensor product,
                 ConstTensor gram, ConstTensor b, ConstTensor magnitude, float scaling,
                 Stream& stream) {
  constexpr const char* kName = "dora_scales";
  const int64_t out = b.dim(0);
  const int64_t rank = b.dim(1);
  const auto check = [&](const char* name, const ConstTensor& tensor, const Shape& shape,
                         DType dtype) {
    expect_shape(kName, name, tensor, shape);
    expect_dtype(kName, name, tensor, dtype);
  };
  check("scale", scale, {out}, DType::kF32);
  check("norm", norm, {out}, DType::kF32);
  check("squares", squares, {out}, DType::kF32);
  check("product", product, {rank, out}, DType::kF32);
  check("gram", gram, {rank, rank}, DType::kF32);
  check("magnitude", magnitude, {out}, b.dtype());
  const double flops =
      2.0 * static_cast<double>(out) * static_cast<double>(rank) * static_cast<double>(rank + 2);
  const Cost cost{kName, flops,
                  squares.bytes() + product.bytes() + gram.bytes() + b.bytes() + magnitude.bytes(),
                  scale.bytes() + norm.bytes()};
  dispatch_float(b.dtype(), kName, [&](auto zero) {
    using T = decltype(zero);
    stream.submit(cost, [=](ExecContext& context) {
      cpu::dora_scales(context.pool, scale.data<float>(), norm.data<float>(), squares.data<float>(),
                       product.data<float>(), gram.data<float>(), b.data<T>(), magnitude.data<T>(),
                       scaling, out, rank);
    });
  });
}

void scale_outputs(Tensor y, ConstTensor x, ConstTensor scale, Stream& stream) {
  constexpr const char* kName = "scale_outputs";
  expect_shape(kName, "y", y, x.shape());
  expect_dtype(kName, "y", y, x.dtype());
  expect_shape(kName, "scale", scale, {x.dim(1)});
  expect_dtype(kName, "scale", scale, DType::kF32);
  const Cost cost{kName, static_cast<double>(x.numel()), x.bytes() + scale.bytes(), y.bytes()};
  dispatch_float(x.dtype(), kName, [&](auto zero) {
    using T = decltype(zero);
    stream.submit(cost, [=](ExecContext& context) {
      cpu::scale_outputs(context.pool, y.data<T>(), x.data<T>(), scale.data<float>(), x.dim(0),
                         x.dim(1));
    });
  });
}

void dora_magnitude_backward(Tensor dmagnitude, ConstTensor dy, ConstTensor z, ConstTensor norm,
                             Stream& stream) {
  constexpr const char* kName = "dora_magnitude_backward";
  expect_shape(kName, "z", z, dy.shape());
  expect_dtype(kName, "z", z, dy.dtype());
  for (const ConstTensor& vector : {ConstTensor(dmagnitude), norm}) {
    expect_shape(kName, "dmagnitude, norm", vector, {dy.dim(1)});
    expect_dtype(kName, "dmagnitude, norm", vector, DType::kF32);
  }
  const Cost cost{kName, 2.0 * static_cast<double>(dy.numel()),
                  dy.bytes() + z.bytes() + norm.bytes(), dmagnitude.bytes()};
  dispatch_float(dy.dtype(), kName, [&](auto zero) {
    using T = decltype(zero);
    stream.submit(cost, [=](ExecContext& context) {
      cpu::dora_magnitude_backward(context.pool, dmagnitude.data<float>(), dy.data<T>(),
                                   z.data<T>(), norm.data<float>(), dy.dim(0), dy.dim(1));
    });
  });
}

}  // namespace athanor

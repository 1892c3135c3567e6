#include "kernels/elementwise/elementwise.h"

#include <cstdint>
#include <string>
#include <type_traits>

#include "kernels/backend.h"
#include "kernels/elementwise/cpu.h"
#include "kernels/elementwise/cuda.h"

namespace athanor {
namespace {

void check_rows(const char* operation, const ConstTensor& many, const ConstTensor& few,
                const ConstTensor& rows) {
  const int64_t columns = few.dim(1);
  expect_shape(operation, "x or y by row", few, Shape{few.dim(0), columns});
  expect_shape(operation, "indexed rows", many, Shape{many.dim(0), columns});
  expect_dtype(operation, "indexed rows", many, few.dtype());
  expect_shape(operation, "rows", rows, Shape{few.dim(0)});
  expect_dtype(operation, "rows", rows, DType::kI32);
}

int64_t row_bytes(const ConstTensor& x) { return x.dim(1) * dtype_size(x.dtype()); }

}  // namespace

void fill_zero(Tensor y, Stream& stream) {
  submit(stream, Cost{"fill_zero", 0, 0, y.bytes()},
         [=](auto& on) { backend::fill_zero(on, y.raw(), y.bytes()); });
}

void fill(Tensor y, float value, Stream& stream) {
  dispatch_float(y.dtype(), "fill", [&](auto zero) {
    using T = decltype(zero);
    submit(stream, Cost{"fill", 0, 0, y.bytes()},
           [=](auto& on) { backend::fill(on, y.data<T>(), value, y.numel()); });
  });
}

void copy_columns(Tensor y, int64_t y_first, ConstTensor x, int64_t x_first, int64_t columns,
                  Stream& stream) {
  expect_shape("copy_columns", "y", y, Shape{x.dim(0), y.dim(1)});
  expect_dtype("copy_columns", "y", y, x.dtype());
  ATHANOR_CHECK(y_first >= 0 && x_first >= 0 && columns >= 0 && y_first + columns <= y.dim(1) &&
                    x_first + columns <= x.dim(1),
                "copy_columns: " + std::to_string(columns) + " columns are not in x and y");
  const int64_t size = dtype_size(x.dtype());
  const int64_t bytes = x.dim(0) * columns * size;
  submit(stream, Cost{"copy_columns", 0, bytes, bytes}, [=](auto& on) {
    backend::copy_columns(on, y.raw(), y.dim(1) * size, y_first * size, x.raw(), x.dim(1) * size,
                          x_first * size, columns * size, x.dim(0));
  });
}

void copy(Tensor y, ConstTensor x, Stream& stream) {
  expect_shape("copy", "y", y, x.shape());
  const Cost cost{"copy", 0, x.bytes(), y.bytes()};
  if (y.dtype() == x.dtype()) {
    submit(stream, cost, [=](auto& on) { backend::copy_bytes(on, y.raw(), x.raw(), x.bytes()); });
    return;
  }
  dispatch_float(x.dtype(), "copy", [&](auto from) {
    using From = decltype(from);
    using To = std::conditional_t<std::is_same_v<From, float>, bfloat16, float>;
    expect_dtype("copy", "y", y, dtype_of<To>);
    submit(stream, cost,
           [=](auto& on) { backend::convert(on, y.data<To>(), x.data<From>(), x.numel()); });
  });
}

void add(Tensor y, ConstTensor a, ConstTensor b, Stream& stream) {
  expect_shape("add", "b", b, a.shape());
  expect_shape("add", "y", y, a.shape());
  expect_dtype("add", "b", b, a.dtype());
  expect_dtype("add", "y", y, a.dtype());
  dispatch_float(a.dtype(), "add", [&](auto zero) {
    using T = decltype(zero);
    submit(stream, Cost{"add", static_cast<double>(y.numel()), a.bytes() + b.bytes(), y.bytes()},
           [=](auto& on) { backend::add(on, y.data<T>(), a.data<T>(), b.data<T>(), y.numel()); });
  });
}

void scale(Tensor y, ConstTensor x, float factor, Stream& stream) {
  expect_shape("scale", "y", y, x.shape());
  expect_dtype("scale", "y", y, x.dtype());
  dispatch_float(x.dtype(), "scale", [&](auto zero) {
    using T = decltype(zero);
    submit(stream, Cost{"scale", static_cast<double>(y.numel()), x.bytes(), y.bytes()},
           [=](auto& on) { backend::scale(on, y.data<T>(), x.data<T>(), factor, y.numel()); });
  });
}

void gather_rows(Tensor y, ConstTensor x, ConstTensor rows, Stream& stream) {
  check_rows("gather_rows", x, y, rows);
  submit(stream, Cost{"gather_rows", 0, y.bytes() + rows.bytes(), y.bytes()}, [=](auto& on) {
    backend::gather_rows(on, y.raw(), x.raw(), rows.data<int32_t>(), y.dim(0), x.dim(0),
                         row_bytes(x));
  });
}

void scatter_rows(Tensor y, ConstTensor x, ConstTensor rows, Stream& stream) {
  check_rows("scatter_rows", y, x, rows);
  submit(stream, Cost{"scatter_rows", 0, x.bytes() + rows.bytes(), x.bytes() + y.bytes()},
         [=](auto& on) {
           backend::scatter_rows(on, y.raw(), x.raw(), rows.data<int32_t>(), x.dim(0), y.dim(0),
                                 row_bytes(x));
         });
}

}  // namespace athanor

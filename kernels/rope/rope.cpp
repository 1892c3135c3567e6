#include "kernels/rope/rope.h"

#include <cstdint>
#include <string>

#include "kernels/backend.h"
#include "kernels/rope/cpu.h"
#include "kernels/rope/cuda.h"

namespace athanor {

void rope_table(Tensor cos_sin, const RopeSettings& settings, Stream& stream) {
  constexpr const char* kName = "rope_table";
  const int64_t positions = cos_sin.dim(0);
  const int64_t rotary_dim = cos_sin.dim(1);
  expect_shape(kName, "cos_sin", cos_sin, Shape{positions, rotary_dim});
  expect_dtype(kName, "cos_sin", cos_sin, DType::kF32);
  ATHANOR_CHECK(rotary_dim % 2 == 0,
                "rope_table: rotary_dim " + std::to_string(rotary_dim) + " is odd");
  submit(stream, Cost{kName, 0, 0, cos_sin.bytes()}, [=](auto& on) {
    backend::rope_table(on, cos_sin.data<float>(), settings, positions, rotary_dim);
  });
}

void rope(Tensor x, ConstTensor positions, ConstTensor cos_sin, int64_t head_dim, bool inverse,
          Stream& stream) {
  constexpr const char* kName = "rope";
  const int64_t tokens = x.dim(0);
  const int64_t columns = x.dim(1);
  expect_shape(kName, "x", x, Shape{tokens, columns});
  expect_shape(kName, "positions", positions, Shape{tokens});
  expect_dtype(kName, "positions", positions, DType::kI32);
  const int64_t rotary_dim = cos_sin.dim(1);
  expect_shape(kName, "cos_sin", cos_sin, Shape{cos_sin.dim(0), rotary_dim});
  expect_dtype(kName, "cos_sin", cos_sin, DType::kF32);
  ATHANOR_CHECK(
      head_dim > 0 && columns % head_dim == 0 && rotary_dim % 2 == 0 && rotary_dim <= head_dim,
      "rope: x has " + std::to_string(columns) + " columns, not heads of head_dim " +
          std::to_string(head_dim) + " with an even rotary_dim, " + std::to_string(rotary_dim));
  const int64_t table_rows = cos_sin.dim(0);
  const Cost cost{kName, 3.0 * static_cast<double>(x.numel()),
                  x.bytes() + positions.bytes() + tokens * rotary_dim * 4, x.bytes()};
  dispatch_float(x.dtype(), kName, [&](auto zero) {
    using T = decltype(zero);
    submit(stream, cost, [=](auto& on) {
      backend::rope(on, x.data<T>(), positions.data<int32_t>(), cos_sin.data<float>(), tokens,
                    columns / head_dim, head_dim, rotary_dim, table_rows, inverse);
    });
  });
}

}  // namespace athanor

// Checks, costs and submission of matrix products.
#include "kernels/matmul/matmul.h"

#include <string>

#include "core/error.h"
#include "kernels/matmul/cpu.h"
#include "kernels/matmul/prepared.h"

namespace athanor {
namespace {

void expect_float(const char* operation, const char* name, DType dtype) {
  ATHANOR_CHECK(
      dtype == DType::kF32 || dtype == DType::kBF16,
      std::string(operation) + ": " + name + " is " + dtype_name(dtype) + ", expected F32 or BF16");
}

void expect_matrix(const char* operation, const char* name, const ConstTensor& tensor) {
  ATHANOR_CHECK(tensor.rank() == 2, std::string(operation) + ": " + name + " has shape " +
                                        tensor.shape().to_string() + ", expected two dimensions");
  expect_float(operation, name, tensor.dtype());
}

// Shapes are checked; b_bytes is what is read of b in its form.
void submit_product(const char* operation, const cpu::MatmulArgs& args, int64_t b_bytes,
                    Stream& stream) {
  if (args.m == 0 || args.n == 0) return;
  const int64_t c_bytes = args.m * args.n * dtype_size(args.c_dtype);
  const Cost cost{
      operation,
      2.0 * static_cast<double>(args.m) * static_cast<double>(args.n) * static_cast<double>(args.k),
      args.m * args.k * dtype_size(args.dtype) + b_bytes + (args.accumulate ? c_bytes : 0),
      c_bytes};
  stream.submit(cost, [args](ExecContext& context) { cpu::matmul(args, context.pool); });
}

// The weight's best form for y = x * W^T or, transposed, dx = dy * W.
void set_weight(const char* operation, const LinearWeight& weight, bool transposed,
                cpu::MatmulArgs* args) {
  const Shape shape{weight.out_features, weight.in_features};
  expect_float(operation, "weight", weight.dtype);
  args->dtype = weight.dtype;
  if (weight.prepared.defined()) {
    const int64_t bytes = prepared_weight_bytes(weight.dtype, shape[0], shape[1]);
    ATHANOR_CHECK(weight.prepared.bytes() >= bytes,
                  std::string(operation) + ": prepared weight has " +
                      std::to_string(weight.prepared.bytes()) + " bytes, expected " +
                      std::to_string(bytes));
    // dx reads rows of W, which the plain form has in order.
    if (!transposed || !weight.plain.defined()) {
      args->b = weight.prepared.raw();
      args->b_form = transposed ? cpu::BForm::kPreparedTransposed : cpu::BForm::kPrepared;
      return;
    }
  }
  expect_shape(operation, "weight", weight.plain, shape);
  expect_dtype(operation, "weight", weight.plain, weight.dtype);
  args->b = weight.plain.raw();
  args->b_form = transposed ? cpu::BForm::kRows : cpu::BForm::kColumns;
}

}  // namespace

void matmul(Tensor c, ConstTensor a, ConstTensor b, MatmulOptions options, Stream& stream) {
  expect_matrix("matmul", "a", a);
  expect_matrix("matmul", "b", b);
  expect_float("matmul", "c", c.dtype());
  expect_dtype("matmul", "b", b, a.dtype());
  const int64_t m = a.dim(options.transpose_a ? 1 : 0);
  const int64_t k = a.dim(options.transpose_a ? 0 : 1);
  const int64_t n = b.dim(options.transpose_b ? 0 : 1);
  expect_shape("matmul", "b", b, options.transpose_b ? Shape{n, k} : Shape{k, n});
  expect_shape("matmul", "c", c, Shape{m, n});
  cpu::MatmulArgs args;
  args.c = c.raw();
  args.a = a.raw();
  args.b = b.raw();
  args.c_dtype = c.dtype();
  args.dtype = a.dtype();
  args.b_form = options.transpose_b ? cpu::BForm::kColumns : cpu::BForm::kRows;
  args.transpose_a = options.transpose_a;
  args.accumulate = options.accumulate;
  args.m = m;
  args.n = n;
  args.k = k;
  submit_product("matmul", args, b.bytes(), stream);
}

int64_t prepared_weight_bytes(DType dtype, int64_t out_features, int64_t in_features) {
  const int64_t words = dtype == DType::kBF16 ? (in_features + 1) / 2 : in_features;
  return padded_columns(out_features) * words * 4;
}

void prepare_weight(Tensor prepared, ConstTensor weight, Stream& stream) {
  expect_matrix("prepare_weight", "weight", weight);
  const int64_t out = weight.dim(0);
  const int64_t in = weight.dim(1);
  const DType dtype = weight.dtype();
  const int64_t bytes = prepared_weight_bytes(dtype, out, in);
  ATHANOR_CHECK(prepared.bytes() >= bytes, "prepare_weight: prepared has " +
                                               std::to_string(prepared.bytes()) +
                                               " bytes, expected " + std::to_string(bytes));
  if (bytes == 0) return;
  void* const to = prepared.raw();
  const void* const from = weight.raw();
  stream.submit(Cost{"prepare_weight", 0, weight.bytes(), bytes}, [=](ExecContext& context) {
    cpu::prepare_weight(to, from, dtype, out, in, context.pool);
  });
}

void linear_forward(Tensor y, ConstTensor x, const LinearWeight& weight, bool accumulate,
                    Stream& stream) {
  cpu::MatmulArgs args;
  set_weight("linear_forward", weight, false, &args);
  args.m = x.dim(0);
  args.n = weight.out_features;
  args.k = weight.in_features;
  expect_shape("linear_forward", "x", x, Shape{args.m, args.k});
  expect_dtype("linear_forward", "x", x, weight.dtype);
  expect_shape("linear_forward", "y", y, Shape{args.m, args.n});
  expect_float("linear_forward", "y", y.dtype());
  args.c = y.raw();
  args.a = x.raw();
  args.c_dtype = y.dtype();
  args.accumulate = accumulate;
  submit_product("linear_forward", args, args.n * args.k * dtype_size(weight.dtype), stream);
}

void linear_backward_input(Tensor dx, ConstTensor dy, const LinearWeight& weight, bool accumulate,
                           Stream& stream) {
  cpu::MatmulArgs args;
  set_weight("linear_backward_input", weight, true, &args);
  args.m = dy.dim(0);
  args.n = weight.in_features;
  args.k = weight.out_features;
  expect_shape("linear_backward_input", "dy", dy, Shape{args.m, args.k});
  expect_dtype("linear_backward_input", "dy", dy, weight.dtype);
  expect_shape("linear_backward_input", "dx", dx, Shape{args.m, args.n});
  expect_float("linear_backward_input", "dx", dx.dtype());
  args.c = dx.raw();
  args.a = dy.raw();
  args.c_dtype = dx.dtype();
  args.accumulate = accumulate;
  submit_product("linear_backward_input", args, args.n * args.k * dtype_size(weight.dtype), stream);
}

void linear_backward_weight(Tensor dweight, ConstTensor dy, ConstTensor x, Stream& stream) {
  const char* const operation = "linear_backward_weight";
  expect_matrix(operation, "dy", dy);
  expect_matrix(operation, "x", x);
  expect_dtype(operation, "x", x, dy.dtype());
  expect_dtype(operation, "dweight", dweight, DType::kF32);
  cpu::MatmulArgs args;
  args.m = dy.dim(1);
  args.n = x.dim(1);
  args.k = dy.dim(0);
  expect_shape(operation, "x", x, Shape{args.k, args.n});
  expect_shape(operation, "dweight", dweight, Shape{args.m, args.n});
  args.c = dweight.raw();
  args.a = dy.raw();
  args.b = x.raw();
  args.dtype = dy.dtype();
  args.transpose_a = true;
  args.accumulate = true;
  submit_product(operation, args, x.bytes(), stream);
}

}  // namespace athanor

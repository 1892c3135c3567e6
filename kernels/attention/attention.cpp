#include "kernels/attention/attention.h"

#include "kernels/attention/cpu.h"
#include "kernels/backend.h"

namespace athanor {
namespace {

void expect_heads(const char* name, const AttentionShape& shape) {
  ATHANOR_CHECK(shape.head_dim > 0 && shape.num_key_value_heads > 0 && shape.num_heads > 0 &&
                    shape.num_heads % shape.num_key_value_heads == 0,
                std::string(name) + ": num_heads " + std::to_string(shape.num_heads) +
                    " is not a multiple of num_key_value_heads " +
                    std::to_string(shape.num_key_value_heads));
  ATHANOR_CHECK(shape.window >= 0 && shape.soft_cap >= 0,
                std::string(name) + ": window " + std::to_string(shape.window) + " or soft_cap " +
                    std::to_string(shape.soft_cap) + " is negative");
}

// A list of sequence bounds: [S+1] i32.
void expect_bounds(const char* name, const char* what, const ConstTensor& cu, int64_t sequences) {
  ATHANOR_CHECK(sequences >= 0, std::string(name) + ": " + what + " has no element");
  expect_shape(name, what, cu, Shape{sequences + 1});
  expect_dtype(name, what, cu, DType::kI32);
}

}  // namespace

void attention_forward(Tensor o, Tensor lse, ConstTensor q, ConstTensor k, ConstTensor v,
                       ConstTensor cu_q, ConstTensor cu_k, const AttentionShape& shape,
                       int64_t attention_pairs, Stream& stream) {
  constexpr const char* kName = "attention_forward";
  expect_heads(kName, shape);
  const int64_t queries = q.dim(0);
  const int64_t keys = k.dim(0);
  const int64_t sequences = cu_q.dim(0) - 1;
  const Shape q_shape{queries, shape.num_heads * shape.head_dim};
  const Shape k_shape{keys, shape.num_key_value_heads * shape.head_dim};
  expect_shape(kName, "q", q, q_shape);
  expect_shape(kName, "o", o, q_shape);
  expect_shape(kName, "k", k, k_shape);
  expect_shape(kName, "v", v, k_shape);
  expect_shape(kName, "lse", lse, Shape{shape.num_heads, queries});
  expect_dtype(kName, "o", o, q.dtype());
  expect_dtype(kName, "k", k, q.dtype());
  expect_dtype(kName, "v", v, q.dtype());
  expect_dtype(kName, "lse", lse, DType::kF32);
  expect_bounds(kName, "cu_q", cu_q, sequences);
  expect_bounds(kName, "cu_k", cu_k, sequences);
  // Two products, q kT and p v, of 2 D flops a pair.
  const double flops = 4.0 * static_cast<double>(shape.num_heads * shape.head_dim) *
                       static_cast<double>(attention_pairs);
  const Cost cost{kName, flops, q.bytes() + k.bytes() + v.bytes(), o.bytes() + lse.bytes()};
  dispatch_float(q.dtype(), kName, [&](auto zero) {
    using T = decltype(zero);
    stream.submit(cost, [=](ExecContext& context) {
      cpu::attention_forward(context.pool, o.data<T>(), lse.data<float>(), q.data<T>(), k.data<T>(),
                             v.data<T>(), cu_q.data<int32_t>(), cu_k.data<int32_t>(), sequences,
                             queries, keys, shape);
    });
  });
}

void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor delta, ConstTensor d_o,
                        ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor o, ConstTensor lse,
                        ConstTensor cu, const AttentionShape& shape, int64_t attention_pairs,
                        Stream& stream) {
  constexpr const char* kName = "attention_backward";
  expect_heads(kName, shape);
  const int64_t tokens = q.dim(0);
  const int64_t sequences = cu.dim(0) - 1;
  const Shape q_shape{tokens, shape.num_heads * shape.head_dim};
  const Shape k_shape{tokens, shape.num_key_value_heads * shape.head_dim};
  const Shape row_shape{shape.num_heads, tokens};
  const auto expect = [&](const char* what, const ConstTensor& tensor, const Shape& expected,
                          DType dtype) {
    expect_shape(kName, what, tensor, expected);
    expect_dtype(kName, what, tensor, dtype);
  };
  expect("q", q, q_shape, q.dtype());
  expect("k", k, k_shape, q.dtype());
  expect("v", v, k_shape, q.dtype());
  expect("o", o, q_shape, q.dtype());
  expect("d_o", d_o, q_shape, q.dtype());
  expect("dq", dq, q_shape, q.dtype());
  expect("dk", dk, k_shape, q.dtype());
  expect("dv", dv, k_shape, q.dtype());
  expect("lse", lse, row_shape, DType::kF32);
  expect("delta", delta, row_shape, DType::kF32);
  expect_bounds(kName, "cu", cu, sequences);
  // Five products of 2 D flops a pair: q kT, do vT, pT do, dsT q, ds k.
  const double flops = 10.0 * static_cast<double>(shape.num_heads * shape.head_dim) *
                       static_cast<double>(attention_pairs);
  const Cost cost{kName, flops,
                  2 * q.bytes() + k.bytes() + v.bytes() + o.bytes() + lse.bytes() + delta.bytes(),
                  dq.bytes() + dk.bytes() + dv.bytes() + delta.bytes()};
  dispatch_float(q.dtype(), kName, [&](auto zero) {
    using T = decltype(zero);
    stream.submit(cost, [=](ExecContext& context) {
      cpu::attention_backward(context.pool, dq.data<T>(), dk.data<T>(), dv.data<T>(),
                              delta.data<float>(), d_o.data<T>(), q.data<T>(), k.data<T>(),
                              v.data<T>(), o.data<T>(), lse.data<float>(), cu.data<int32_t>(),
                              sequences, tokens, shape);
    });
  });
}

}  // namespace athanor

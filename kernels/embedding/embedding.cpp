#include "kernels/embedding/embedding.h"

#include <cstdint>
#include <string>

#include "kernels/backend.h"
#include "kernels/embedding/cpu.h"
#include "kernels/embedding/cuda.h"

namespace athanor {

void embedding_forward(Tensor y, ConstTensor ids, const LinearWeight& weight, Stream& stream) {
  constexpr const char* kName = "embedding_forward";
  const int64_t tokens = ids.dim(0);
  const int64_t vocab_size = weight.out_features;
  const int64_t columns = weight.in_features;
  expect_shape(kName, "ids", ids, Shape{tokens});
  expect_dtype(kName, "ids", ids, DType::kI32);
  expect_shape(kName, "y", y, Shape{tokens, columns});
  expect_dtype(kName, "y", y, weight.dtype);
  const bool prepared = !weight.plain.defined();
  const ConstTensor stored = prepared ? weight.prepared : weight.plain;
  ATHANOR_CHECK(stored.defined(), "embedding_forward: the weight has neither form");
  if (prepared) {
    expect_shape(kName, "prepared weight", stored,
                 Shape{prepared_weight_bytes(weight.dtype, vocab_size, columns)});
    expect_dtype(kName, "prepared weight", stored, DType::kU8);
  } else {
    expect_shape(kName, "weight", stored, Shape{vocab_size, columns});
    expect_dtype(kName, "weight", stored, weight.dtype);
  }
  const Cost cost{kName, 0, y.bytes() + ids.bytes(), y.bytes()};
  dispatch_float(weight.dtype, kName, [&](auto zero) {
    using T = decltype(zero);
    submit(stream, cost, [=](auto& on) {
      const T* data = static_cast<const T*>(stored.raw());
      if (prepared) {
        backend::embedding_forward_prepared(on, y.data<T>(), ids.data<int32_t>(), data, tokens,
                                            vocab_size, columns);
      } else {
        backend::embedding_forward(on, y.data<T>(), ids.data<int32_t>(), data, tokens, vocab_size,
                                   columns);
      }
    });
  });
}

void embedding_backward(Tensor dweight, ConstTensor dy, ConstTensor ids, Stream& stream) {
  constexpr const char* kName = "embedding_backward";
  const int64_t tokens = ids.dim(0);
  const int64_t vocab_size = dweight.dim(0);
  const int64_t columns = dweight.dim(1);
  expect_shape(kName, "ids", ids, Shape{tokens});
  expect_dtype(kName, "ids", ids, DType::kI32);
  expect_shape(kName, "dweight", dweight, Shape{vocab_size, columns});
  expect_dtype(kName, "dweight", dweight, DType::kF32);
  expect_shape(kName, "dy", dy, Shape{tokens, columns});
  const int64_t touched = tokens * columns * 4;
  const Cost cost{kName, static_cast<double>(dy.numel()), dy.bytes() + ids.bytes() + touched,
                  touched};
  dispatch_float(dy.dtype(), kName, [&](auto zero) {
    using T = decltype(zero);
    submit(stream, cost, [=](auto& on) {
      backend::embedding_backward(on, dweight.data<float>(), dy.data<T>(), ids.data<int32_t>(),
                                  tokens, vocab_size, columns);
    });
  });
}

}  // namespace athanor

// Tensor and ConstTensor: non-owning typed views of dense row-major memory. They are trivially
// copyable, so that closures submitted to a stream can hold them by value. Who owns the bytes is
// Buffer and Arena (core/buffer.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/dtype.h"
#include "core/error.h"
#include "core/shape.h"

namespace athanor {

class Tensor {
 public:
  Tensor() = default;
  Tensor(void* data, DType dtype, Shape shape) : data_(data), shape_(shape), dtype_(dtype) {}

  bool defined() const { return data_ != nullptr; }
  void* raw() const { return data_; }
  template <class T>
  T* data() const {
    ATHANOR_CHECK(DTypeOf<T>::value == dtype_, std::string("tensor is ") + dtype_name(dtype_));
    return static_cast<T*>(data_);
  }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int axis) const { return shape_[axis]; }
  int64_t numel() const { return shape_.numel(); }
  int64_t bytes() const { return numel() * dtype_size(dtype_); }

  // Rows [begin, begin + count) along the first dimension.
  Tensor rows(int64_t begin, int64_t count) const {
    ATHANOR_CHECK(begin >= 0 && count >= 0 && begin + count <= shape_[0],
                  "rows " + std::to_string(begin) + "+" + std::to_string(count) + " of " +
                      shape_.to_string());
    const int64_t row_bytes = shape_[0] == 0 ? 0 : shape_.numel() / shape_[0] * dtype_size(dtype_);
    return Tensor(static_cast<std::byte*>(data_) + begin * row_bytes, dtype_,
                  shape_.with_first(count));
  }
  // The same elements under another shape.
  Tensor reshaped(Shape shape) const {
    ATHANOR_CHECK(shape.numel() == shape_.numel(),
                  shape_.to_string() + " cannot be viewed as " + shape.to_string());
    return Tensor(data_, dtype_, shape);
  }

 private:
  void* data_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::kF32;
};

class ConstTensor {
 public:
  ConstTensor() = default;
  ConstTensor(const Tensor& tensor) : tensor_(tensor) {}  // NOLINT: every Tensor can be read
  ConstTensor(const void* data, DType dtype, Shape shape)
      : tensor_(const_cast<void*>(data), dtype, shape) {}

  bool defined() const { return tensor_.defined(); }
  const void* raw() const { return tensor_.raw(); }
  template <class T>
  const T* data() const {
    return tensor_.data<T>();
  }
  DType dtype() const { return tensor_.dtype(); }
  const Shape& shape() const { return tensor_.shape(); }
  int rank() const { return tensor_.rank(); }
  int64_t dim(int axis) const { return tensor_.dim(axis); }
  int64_t numel() const { return tensor_.numel(); }
  int64_t bytes() const { return tensor_.bytes(); }
  ConstTensor rows(int64_t begin, int64_t count) const { return tensor_.rows(begin, count); }
  ConstTensor reshaped(Shape shape) const { return tensor_.reshaped(shape); }

 private:
  Tensor tensor_;
};

static_assert(std::is_trivially_copyable_v<Tensor> && std::is_trivially_copyable_v<ConstTensor>);

// Throws Error(kInternal) naming the operation, the tensor and both values.
void expect_shape(const char* operation, const char* name, const ConstTensor& tensor,
                  const Shape& expected);
void expect_dtype(const char* operation, const char* name, const ConstTensor& tensor,
                  DType expected);

}  // namespace athanor

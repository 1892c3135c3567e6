// Shape: up to four dimensions of a dense, row-major tensor.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "core/error.h"

namespace athanor {

class Shape {
 public:
  static constexpr int kMaxRank = 4;

  constexpr Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    ATHANOR_CHECK(dims.size() <= kMaxRank, "a shape has at most four dimensions");
    for (int64_t dim : dims) dims_[rank_++] = dim;
  }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[axis]; }
  // Product of all dimensions; 1 for rank 0.
  int64_t numel() const {
    int64_t product = 1;
    for (int axis = 0; axis < rank_; ++axis) product *= dims_[axis];
    return product;
  }
  // The same shape with another first dimension.
  Shape with_first(int64_t rows) const {
    Shape result = *this;
    result.dims_[0] = rows;
    return result;
  }
  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int axis = 0; axis < rank_; ++axis) {
      if (dims_[axis] != other.dims_[axis]) return false;
    }
    return true;
  }
  std::string to_string() const {
    std::string text = "[";
    for (int axis = 0; axis < rank_; ++axis) {
      if (axis > 0) text += ", ";
      text += std::to_string(dims_[axis]);
    }
    return text + "]";
  }

 private:
  int64_t dims_[kMaxRank] = {0, 0, 0, 0};
  int rank_ = 0;
};

}  // namespace athanor

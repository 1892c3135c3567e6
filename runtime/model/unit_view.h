// UnitView: what a unit's computation sees of its parameters and gradients. The model does not know
// ranks, slots or stages.
#pragma once

#include "core/tensor.h"
#include "kernels/matmul/matmul.h"

namespace athanor {

class UnitView {
 public:
  virtual ~UnitView() = default;
  virtual ConstTensor tensor(int param) const = 0;   // a vector, or a plain matrix
  virtual LinearWeight weight(int param) const = 0;  // [out, in], plain or prepared
  virtual Tensor grad(int param) const = 0;          // f32, undefined when frozen
};

}  // namespace athanor

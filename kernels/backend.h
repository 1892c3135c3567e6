// How a closure reaches its implementation: one CPU backend today, one namespace per backend, and
// the dtype as a template parameter of a lambda.
#pragma once

#include <string>

#include "core/dtype.h"
#include "core/error.h"

namespace athanor {

// body(T{}) with T float or bfloat16.
template <class Body>
void dispatch_float(DType dtype, const char* operation, const Body& body) {
  switch (dtype) {
    case DType::kF32:
      return body(float{});
    case DType::kBF16:
      return body(bfloat16{});
    default:
      throw Error(ErrorKind::kInternal,
                  std::string(operation) + ": dtype " + dtype_name(dtype) + " is not supported");
  }
}

}  // namespace athanor

// Argument checks shared by all operations.
#include "core/tensor.h"

#include <string>

namespace athanor {

void expect_shape(const char* operation, const char* name, const ConstTensor& tensor,
                  const Shape& expected) {
  if (tensor.shape() == expected) return;
  throw Error(ErrorKind::kInternal, std::string(operation) + ": " + name + " has shape " +
                                        tensor.shape().to_string() + ", expected " +
                                        expected.to_string());
}

void expect_dtype(const char* operation, const char* name, const ConstTensor& tensor,
                  DType expected) {
  if (tensor.dtype() == expected) return;
  throw Error(ErrorKind::kInternal, std::string(operation) + ": " + name + " has dtype " +
                                        dtype_name(tensor.dtype()) + ", expected " +
                                        dtype_name(expected));
}

}  // namespace athanor

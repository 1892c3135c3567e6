// How a closure reaches its implementation: one namespace per backend, whose functions differ in
// their first argument only, and the dtype as a template parameter of a lambda.
#pragma once

#include <athanor_backends.h>
#include <string>

#include "core/cuda_device.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/stream.h"

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

// backend::f(pool, ...) is cpu::f, backend::f(queue, ...) is cuda::f.
namespace cpu {}
namespace cuda {}
namespace backend {
using namespace cpu;   // NOLINT: what this namespace is for
using namespace cuda;  // NOLINT
}  // namespace backend

// Submits call(ThreadPool&) to a stream of the CPU and call(CudaQueue&) to one of a GPU; `call` is
// generic and captures by value.
template <class Call>
void submit(Stream& stream, const Cost& cost, const Call& call) {
  stream.submit(cost, [call](ExecContext& context) {
    if constexpr (kWithCuda) {
      if (context.cuda != nullptr) return call(*context.cuda);
    }
    ThreadPool& pool = context.pool;
    call(pool);
  });
}

}  // namespace athanor

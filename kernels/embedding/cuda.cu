// Lookups: a thread an element. The gradient: a thread a column and one of kBuckets classes of ids,
// which walks all tokens in order and adds those of its class: every element has one owner.
#include "core/dtype.h"
#include "kernels/cuda/map.cuh"
#include "kernels/embedding/cuda.h"

namespace athanor::cuda {
namespace {

constexpr int kBuckets = 32;

}  // namespace

template <class T>
void embedding_forward(CudaQueue& queue, T* y, const int32_t* ids, const T* weight, int64_t tokens,
                       int64_t vocab_size, int64_t columns) {
  map(queue, tokens * columns, [=] __device__(int64_t i) {
    const int64_t id = ids[i / columns];
    require(id >= 0 && id < vocab_size);
    y[i] = weight[id * columns + i % columns];
  });
}

// Prepared forms are made for the matrix product of the CPU.
template <class T>
void embedding_forward_prepared(CudaQueue&, T*, const int32_t*, const T*, int64_t, int64_t,
                                int64_t) {
  throw Error(ErrorKind::kInternal, "embedding_forward: the weight is prepared for the CPU");
}

template <class T>
void embedding_backward(CudaQueue& queue, float* dweight, const T* dy, const int32_t* ids,
                        int64_t tokens, int64_t vocab_size, int64_t columns) {
  if (tokens == 0) return;
  map(queue, columns * kBuckets, [=] __device__(int64_t i) {
    const int64_t c = i % columns;
    const int64_t bucket = i / columns;
    for (int64_t n = 0; n < tokens; ++n) {
      const int64_t id = ids[n];
      require(id >= 0 && id < vocab_size);
      if (id % kBuckets == bucket) dweight[id * columns + c] += to_float(dy[n * columns + c]);
    }
  });
}

template void embedding_forward(CudaQueue&, float*, const int32_t*, const float*, int64_t, int64_t,
                                int64_t);
template void embedding_forward(CudaQueue&, bfloat16*, const int32_t*, const bfloat16*, int64_t,
                                int64_t, int64_t);
template void embedding_forward_prepared(CudaQueue&, float*, const int32_t*, const float*, int64_t,
                                         int64_t, int64_t);
template void embedding_forward_prepared(CudaQueue&, bfloat16*, const int32_t*, const bfloat16*,
                                         int64_t, int64_t, int64_t);
template void embedding_backward(CudaQueue&, float*, const float*, const int32_t*, int64_t, int64_t,
                                 int64_t);
template void embedding_backward(CudaQueue&, float*, const bfloat16*, const int32_t*, int64_t,
                                 int64_t, int64_t);

}  // namespace athanor::cuda

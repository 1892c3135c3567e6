#include "kernels/embedding/cpu.h"

#include <cstring>
#include <string>

#include "core/dtype.h"
#include "core/error.h"
#include "kernels/elementwise/tiles.h"
#include "kernels/matmul/prepared.h"

namespace athanor::cpu {
namespace {

// Columns of one task of the backward pass. Tasks own columns, not rows: each walks all tokens in
// order, so that a token that occurs twice adds in order.
constexpr int64_t kColumnBlock = 64;

void check_id(const char* operation, int64_t id, int64_t token, int64_t vocab_size) {
  if (id >= 0 && id < vocab_size) return;
  throw Error(ErrorKind::kBadInput, std::string(operation) + ": token " + std::to_string(token) +
                                        " has id " + std::to_string(id) + ", the vocabulary has " +
                                        std::to_string(vocab_size));
}

}  // namespace

template <class T>
void embedding_forward(ThreadPool& pool, T* y, const int32_t* ids, const T* weight, int64_t tokens,
                       int64_t vocab_size, int64_t columns) {
  for_chunks(pool, tokens, rows_per_chunk(columns), [&](int64_t begin, int64_t count, int) {
    for (int64_t n = begin; n < begin + count; ++n) {
      check_id("embedding_forward", ids[n], n, vocab_size);
      std::memcpy(y + n * columns, weight + ids[n] * columns,
                  static_cast<size_t>(columns) * sizeof(T));
    }
  });
}

template <class T>
void embedding_forward_prepared(ThreadPool& pool, T* y, const int32_t* ids, const T* prepared,
                                int64_t tokens, int64_t vocab_size, int64_t columns) {
  for_chunks(pool, tokens, rows_per_chunk(columns), [&](int64_t begin, int64_t count, int) {
    for (int64_t n = begin; n < begin + count; ++n) {
      check_id("embedding_forward", ids[n], n, vocab_size);
      for (int64_t c = 0; c < columns; ++c) {
        y[n * columns + c] =
            prepared[prepared_element_offset(dtype_of<T>, vocab_size, columns, ids[n], c)];
      }
    }
  });
}

template <class T>
void embedding_backward(ThreadPool& pool, float* dweight, const T* dy, const int32_t* ids,
                        int64_t tokens, int64_t vocab_size, int64_t columns) {
  for (int64_t n = 0; n < tokens; ++n) check_id("embedding_backward", ids[n], n, vocab_size);
  for_chunks(pool, columns, kColumnBlock, [&](int64_t first, int64_t count, int) {
    for (int64_t n = 0; n < tokens; ++n) {
      float* __restrict to = dweight + ids[n] * columns + first;
      const T* __restrict from = dy + n * columns + first;
      for (int64_t c = 0; c < count; ++c) to[c] += to_float(from[c]);
    }
  });
}

template void embedding_forward(ThreadPool&, float*, const int32_t*, const float*, int64_t, int64_t,
                                int64_t);
template void embedding_forward(ThreadPool&, bfloat16*, const int32_t*, const bfloat16*, int64_t,
                                int64_t, int64_t);
template void embedding_forward_prepared(ThreadPool&, float*, const int32_t*, const float*, int64_t,
                                         int64_t, int64_t);
template void embedding_forward_prepared(ThreadPool&, bfloat16*, const int32_t*, const bfloat16*,
                                         int64_t, int64_t, int64_t);
template void embedding_backward(ThreadPool&, float*, const float*, const int32_t*, int64_t,
                                 int64_t, int64_t);
template void embedding_backward(ThreadPool&, float*, const bfloat16*, const int32_t*, int64_t,
                                 int64_t, int64_t);

}  // namespace athanor::cpu

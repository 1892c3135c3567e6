#include "kernels/optimizer/cpu.h"

#include <algorithm>
#include <cmath>

#include "core/dtype.h"
#include "core/pairwise.h"
#include "kernels/elementwise/cpu.h"
#include "kernels/elementwise/tiles.h"

namespace athanor::cpu {
namespace {

void adamw_chunk(float* __restrict w, float* __restrict m, float* __restrict v,
                 const float* __restrict grad, AdamWScalars scalars, int64_t n) {
  for (int64_t i = 0; i < n; ++i) adamw_element(w[i], m[i], v[i], grad[i], scalars);
}

void sgd_chunk(float* __restrict w, const float* __restrict grad, SgdScalars scalars, int64_t n) {
  for (int64_t i = 0; i < n; ++i) sgd_element(w[i], grad[i], scalars);
}

}  // namespace

template <class W>
void adamw_update(ThreadPool& pool, W* working, float* master, float* m, float* v,
                  const float* grad, const AdamWOptions& options, double weight_decay,
                  const StepScalars* step, int64_t n) {
  const AdamWScalars scalars = adamw_scalars(options, weight_decay, *step);
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    adamw_chunk(master + begin, m + begin, v + begin, grad + begin, scalars, count);
    if (working != nullptr) store_tile(working + begin, master + begin, count);
  });
}

template <class W>
void sgd_update(ThreadPool& pool, W* working, float* master, const float* grad, double weight_decay,
                const StepScalars* step, int64_t n) {
  const SgdScalars scalars = sgd_scalars(weight_decay, *step);
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    sgd_chunk(master + begin, grad + begin, scalars, count);
    if (working != nullptr) store_tile(working + begin, master + begin, count);
  });
}

void block_square_sums(ThreadPool& pool, double* sums, const float* x, int64_t n) {
  static_assert(kChunk % kSumBlock == 0);
  for_chunks(pool, n, kChunk, [&](int64_t begin, int64_t count, int) {
    for (int64_t i = begin; i < begin + count; i += kSumBlock) {
      const float* block = x + i;
      sums[i / kSumBlock] =
          static_cast<double>(block_sum(std::min(kSumBlock, n - i), [block](int64_t k, float lane) {
            return std::fma(block[k], block[k], lane);
          }));
    }
  });
}

void tree_add(ThreadPool& pool, float* y, const float* a, const float* b, int64_t n) {
  add(pool, y, a, b, n);
}

template void adamw_update(ThreadPool&, float*, float*, float*, float*, const float*,
                           const AdamWOptions&, double, const StepScalars*, int64_t);
template void adamw_update(ThreadPool&, bfloat16*, float*, float*, float*, const float*,
                           const AdamWOptions&, double, const StepScalars*, int64_t);
template void sgd_update(ThreadPool&, float*, float*, const float*, double, const StepScalars*,
                         int64_t);
template void sgd_update(ThreadPool&, bfloat16*, float*, const float*, double, const StepScalars*,
                         int64_t);

}  // namespace athanor::cpu

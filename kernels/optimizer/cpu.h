// CPU implementation of optimizer.h. W is the working copy's type, float or bfloat16.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"
#include "kernels/optimizer/eight_bit.h"
#include "kernels/optimizer/update_rules.h"

namespace athanor::cpu {

// working may be null.
template <class W>
void adamw_update(ThreadPool& pool, W* working, float* master, float* m, float* v,
                  const float* grad, const AdamWOptions& options, double weight_decay,
                  const StepScalars* scalars, int64_t n);
template <class W>
void adamw8_update(ThreadPool& pool, W* working, float* master, EightBitBlock* m, EightBitBlock* v,
                   const float* grad, const AdamWOptions& options, double weight_decay,
                   const StepScalars* scalars, int64_t n);
template <class W>
void lion_update(ThreadPool& pool, W* working, float* master, float* m, const float* grad,
                 const AdamWOptions& options, double weight_decay, const StepScalars* scalars,
                 int64_t n);
template <class W>
void sgd_update(ThreadPool& pool, W* working, float* master, const float* grad, double weight_decay,
                const StepScalars* scalars, int64_t n);
void block_square_sums(ThreadPool& pool, double* sums, const float* x, int64_t n);
void tree_add(ThreadPool& pool, float* y, const float* a, const float* b, int64_t n);

}  // namespace athanor::cpu

// CPU implementation of rope.h. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"
#include "kernels/rope/rope.h"

namespace athanor::cpu {

void rope_table(ThreadPool& pool, float* cos_sin, const RopeSettings& settings, int64_t positions,
                int64_t rotary_dim);
template <class T>
void rope(ThreadPool& pool, T* x, const int32_t* positions, const float* cos_sin, int64_t tokens,
          int64_t heads, int64_t head_dim, int64_t rotary_dim, int64_t table_rows, bool inverse);

}  // namespace athanor::cpu

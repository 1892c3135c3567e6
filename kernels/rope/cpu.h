// CPU implementation of rope.h. T is float or bfloat16.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"

namespace athanor::cpu {

void rope_table(ThreadPool& pool, float* cos_sin, double theta, int64_t positions,
                int64_t head_dim);
template <class T>
void rope(ThreadPool& pool, T* x, const int32_t* positions, const float* cos_sin, int64_t tokens,
          int64_t heads, int64_t head_dim, int64_t table_rows, bool inverse);

}  // namespace athanor::cpu

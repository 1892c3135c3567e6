// The CPU side of kernels/matmul: what matmul.cpp hands over once shapes are checked.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/thread_pool.h"
#include "kernels/matmul/pack.h"

namespace athanor::cpu {

// c[m,n] = sum_k op(a)[m,k] * op(b)[k,n] (+ c[m,n]); m, n > 0, k >= 0
struct MatmulArgs {
  void* c = nullptr;
  const void* a = nullptr;
  const void* b = nullptr;
  DType c_dtype = DType::kF32;
  DType dtype = DType::kF32;  // of a and b
  BForm b_form = BForm::kRows;
  bool transpose_a = false;
  bool accumulate = false;
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
};

void matmul(const MatmulArgs& args, ThreadPool& pool);

// prepared: panels of kernels/matmul/prepared.h   weight: [out, in] f32|bf16
void prepare_weight(void* prepared, const void* weight, DType dtype, int64_t out, int64_t in,
                    ThreadPool& pool);

}  // namespace athanor::cpu

// Matrix products. Every output element is one chain of fused multiply-adds over k in ascending
// order, so its bits depend on nothing but its row of a, its column of b and the dtype: not on
// threads, tiles, the other rows, or whether the weight was prepared.
//   f32:  acc = fma(a[k], b[k], acc)
//   bf16: where the CPU has vdpbf16ps, pairs (2j, 2j+1) by that instruction, an odd k ending in a
//         zero; else widened to f32 and treated as above. Sums are float32, rounded once to c.
// Accumulating into f32 starts the chain from c; into bf16 it adds c to the finished float32 chain
// and rounds that sum.
#pragma once

#include <cstdint>

#include "core/stream.h"
#include "core/tensor.h"

namespace athanor {

struct MatmulOptions {
  bool transpose_a = false;  // a is [K, M] instead of [M, K]
  bool transpose_b = false;  // b is [N, K] instead of [K, N]
  bool accumulate = false;   // c += instead of c =, as told above
};

// c[m,n] = sum_k op(a)[m,k] * op(b)[k,n] (+ c[m,n])
//   c: [M, N] f32|bf16   a, b: f32|bf16, both the same   empty dimensions: K = 0 gives zeros (or c)
void matmul(Tensor c, ConstTensor a, ConstTensor b, MatmulOptions options, Stream& stream);

// The weight of a linear layer, [out, in] as Hugging Face stores it: plain rows, or in the packed
// order of the matrix product ("prepared"), made once for frozen weights that stay in memory.
struct LinearWeight {
  ConstTensor plain;     // [out, in] f32|bf16, undefined when only the prepared form is kept
  ConstTensor prepared;  // bytes of prepared_weight_bytes(), undefined when there is none
  DType dtype = DType::kF32;
  int64_t out_features = 0;
  int64_t in_features = 0;
};

// Size of the prepared form of an [out, in] weight on this machine, in bytes.
int64_t prepared_weight_bytes(DType dtype, int64_t out_features, int64_t in_features);
// prepared: [prepared_weight_bytes] u8   weight: [out, in] f32|bf16
void prepare_weight(Tensor prepared, ConstTensor weight, Stream& stream);

// y[n,o] = sum_i x[n,i] * weight[o,i] (+ y[n,o])     y: [N, out] f32|bf16   x: [N, in] weight's
// dtype
void linear_forward(Tensor y, ConstTensor x, const LinearWeight& weight, bool accumulate,
                    Stream& stream);
// dx[n,i] = sum_o dy[n,o] * weight[o,i] (+ dx[n,i])  dx: [N, in] f32|bf16   dy: [N, out]
void linear_backward_input(Tensor dx, ConstTensor dy, const LinearWeight& weight, bool accumulate,
                           Stream& stream);
// dweight[o,i] += sum_n dy[n,o] * x[n,i]             dweight: [out, in] f32
void linear_backward_weight(Tensor dweight, ConstTensor dy, ConstTensor x, Stream& stream);

}  // namespace athanor

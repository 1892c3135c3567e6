// Causal attention with grouped key/value heads over packed sequences of different lengths, in
// tiles (FlashAttention-2: Dao, arXiv:2307.08691). No buffer is quadratic in the length.
//
// Sequence s has its queries in rows [cu_q[s], cu_q[s+1]) of q and its keys in rows
// [cu_k[s], cu_k[s+1]) of k and v. The last query sees all keys: query i of Tq sees key j iff
// j <= i + Tk - Tq, and with a window w iff also j > i + Tk - Tq - w. In training cu_q = cu_k; with
// a cache Tk >= Tq.
#pragma once

#include <cstdint>

#include "core/stream.h"
#include "core/tensor.h"

namespace athanor {

struct AttentionShape {
  int64_t num_heads = 0;            // H
  int64_t num_key_value_heads = 0;  // K, divides H
  int64_t head_dim = 0;             // D, any
  float scale = 1;                  // of the scores, 1 / sqrt(D) for Llama
  int64_t window = 0;               // keys that a query sees, itself included; 0: all before it
  float soft_cap = 0;               // c: scores become c tanh(score / c); 0: they stay
};

// o[i,h] = sum_j softmax_j(cap(scale * q[i,h] . k[j,h*K/H])) v[j,h*K/H]
//   o, q: [Nq, H*D]   k, v: [Nk, K*D]   all f32|bf16   lse: [H, Nq] f32 = log sum_j exp(score)
//   cu_q, cu_k: [S+1] i32
//   Key blocks have a fixed size and are visited in order, so a row's bits do not depend on how
//   many queries come with it; blocks that no query of a tile sees are skipped. Scores, softmax and
//   sums are float32. attention_pairs: the number of (query, key) pairs that count, for the cost.
void attention_forward(Tensor o, Tensor lse, ConstTensor q, ConstTensor k, ConstTensor v,
                       ConstTensor cu_q, ConstTensor cu_k, const AttentionShape& shape,
                       int64_t attention_pairs, Stream& stream);

// dq, dk, dv (written, not added to) from do, with p[i,j] = exp(score - lse[i]),
//   delta[i] = sum_d do[i,d] * o[i,d],  ds = p * (do . v[j] - delta[i]) * scale, with a soft cap c
//   times 1 - (score / c)^2 of the capped score
//   dv[j] = sum_i p do[i],  dq[i] = sum_j ds k[j],  dk[j] = sum_i ds q[i]   (i, then the heads of
//   the group, in ascending order of (head, query block): deterministic) Only self-attention: cu is
//   both cu_q and cu_k.   delta: [H, N] f32 workspace.
void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor delta, ConstTensor d_o,
                        ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor o, ConstTensor lse,
                        ConstTensor cu, const AttentionShape& shape, int64_t attention_pairs,
                        Stream& stream);

// Pairs of one causal self-attention sequence of n tokens: n (n + 1) / 2; with a window w < n the
// w (w + 1) / 2 of the first w tokens, then w each.
inline int64_t causal_pairs(int64_t n) { return n * (n + 1) / 2; }
inline int64_t causal_pairs(int64_t n, int64_t window) {
  if (window <= 0 || window >= n) return causal_pairs(n);
  return causal_pairs(window) + (n - window) * window;
}

}  // namespace athanor

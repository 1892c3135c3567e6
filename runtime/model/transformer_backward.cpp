// Backward passes, and the head, whose forward and backward are one pass over chunks of rows.
#include <algorithm>

#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/dora/dora.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"
#include "kernels/swiglu/swiglu.h"
#include "runtime/model/transformer.h"

namespace athanor {

void Transformer::embed_backward(ConstTensor d, const UnitView& unit, const MicroBatchView& batch) {
  // The unit may train only what its other use needs: a tied model's final norm.
  if (!unit.grad(spec_.embedding_param).defined()) return;
  if (!spec_.config.scale_embeddings) {
    embedding_backward(unit.grad(spec_.embedding_param), d, batch.ids, stream_);
    return;
  }
  ArenaScope scope(scratch_);
  const Tensor scaled = scratch_.take(dtype_, d.shape());
  scale(scaled, d, embedding_scale(), stream_);
  embedding_backward(unit.grad(spec_.embedding_param), scaled, batch.ids, stream_);
}

// dbias[o] += sum_n dy[n,o], as a product with a column of ones.
void Transformer::bias_backward(Tensor dbias, ConstTensor dy) {
  ArenaScope scope(scratch_);
  const Tensor ones = scratch_.take(dtype_, {dy.dim(0), 1});
  fill(ones, 1.0f, stream_);
  linear_backward_weight(dbias.reshaped({dbias.numel(), 1}), dy, ones, stream_);
}

Tensor Transformer::dora_backward(ConstTensor dy, ConstTensor x, Linear which, const UnitView& unit,
                                  const BlockActivations& act) {
  const int weight = block_param(which.layer, which.module, &BlockParams::weight);
  const int b = block_param(which.layer, which.module, &BlockParams::lora_b);
  const int magnitude = block_param(which.layer, which.module, &BlockParams::lora_magnitude);
  const Tensor z = scratch_.take(dtype_, dy.shape());
  linear_forward(z, x, unit.weight(weight), false, stream_);
  linear_forward(z, lora_hidden(which, act, x.dim(0)), unit.weight(b), true, stream_);
  ArenaScope scope(scratch_);
  const Dora made = dora(which, unit);
  dora_magnitude_backward(unit.grad(magnitude), dy, z, made.norm, stream_);
  scale_outputs(z, dy, made.scale, stream_);
  return z;
}

// dx (+)= dy W, dW += dy^T x; with an adapter also its gradients and its share of dx.
void Transformer::linear_backward(Tensor dx, bool accumulate, ConstTensor dy, ConstTensor x,
                                  Linear which, const UnitView& unit, const BlockActivations& act,
                                  const MicroBatchView& batch) {
  const int bias = block_param(which.layer, which.module, &BlockParams::bias);
  if (bias >= 0 && unit.grad(bias).defined()) bias_backward(unit.grad(bias), dy);
  ArenaScope scope(scratch_);
  if (block_param(which.layer, which.module, &BlockParams::lora_magnitude) >= 0) {
    dy = dora_backward(dy, x, which, unit, act);
  }
  const int weight = block_param(which.layer, which.module, &BlockParams::weight);
  if (dx.defined()) linear_backward_input(dx, dy, unit.weight(weight), accumulate, stream_);
  const Tensor dweight = unit.grad(weight);
  if (dweight.defined()) linear_backward_weight(dweight, dy, x, stream_);
  if (block_param(which.layer, which.module, &BlockParams::lora_a) >= 0) {
    lora_backward(dx, dy, x, which, unit, act, batch);
  }
}

// With h = scaling * dropout(x) A^T kept from the forward pass:
//   dB += dy^T h,  g = scaling * dy B,  dA += g^T dropout(x),  dx += dropout'(g A)
void Transformer::lora_backward(Tensor dx, ConstTensor dy, ConstTensor x, Linear which,
                                const UnitView& unit, const BlockActivations& act,
                                const MicroBatchView& batch) {
  const int a = block_param(which.layer, which.module, &BlockParams::lora_a);
  const int b = block_param(which.layer, which.module, &BlockParams::lora_b);
  const Tensor h = lora_hidden(which, act, x.dim(0));
  const DropoutSite site = dropout_site(which, batch);
  linear_backward_weight(unit.grad(b), dy, h, stream_);
  ArenaScope scope(scratch_);
  const Tensor g = scratch_.take(dtype_, h.shape());
  linear_backward_input(g, dy, unit.weight(b), false, stream_);
  scale(g, g, lora_scaling(which), stream_);
  if (site.probability > 0) {
    const Tensor dropped = scratch_.take(dtype_, x.shape());
    dropout(dropped, x, site, scalars_, stream_);
    linear_backward_weight(unit.grad(a), g, dropped, stream_);
    if (!dx.defined()) return;
    linear_backward_input(dropped, g, unit.weight(a), false, stream_);
    dropout_add(dx, dropped, site, scalars_, stream_);
    return;
  }
  linear_backward_weight(unit.grad(a), g, x, stream_);
  if (dx.defined()) linear_backward_input(dx, g, unit.weight(a), true, stream_);
}

void Transformer::norm_backward(Tensor dx, ConstTensor dy, ConstTensor x, ConstTensor rstd,
                                int norm_param, const UnitView& unit) {
  ArenaScope scope(scratch_);
  const Tensor dweight = unit.grad(norm_param);
  Tensor workspace;
  if (dweight.defined()) {
    workspace = scratch_.take(DType::kF32, {rms_norm_backward_workspace(x.dim(0), x.dim(1))});
  }
  rms_norm_backward(dx, dweight, dy, x, rstd, unit.tensor(norm_param),
                    spec_.config.norm_weight_offset, workspace, stream_);
}

// d: gradient of the block's output, becomes the gradient of `mid`.
void Transformer::mlp_backward(Tensor d, int layer, const UnitView& unit, BlockActivations& act,
                               const MicroBatchView& batch) {
  const BlockParams& params = spec_.blocks[static_cast<size_t>(layer)];
  ArenaScope scope(scratch_);
  const Tensor dnorm = scratch_.take(dtype_, act.norm2.shape());
  {
    ArenaScope inner(scratch_);
    const Tensor dact = scratch_.take(dtype_, act.act.shape());
    Tensor dout = d;
    if (spec_.config.sandwich_norms) {
      dout = scratch_.take(dtype_, d.shape());
      fill_zero(dout, stream_);
      norm_backward(dout, d, act.mlp_out, act.mlp_out_rstd, params.mlp_output_norm, unit);
    }
    linear_backward(dact, false, dout, act.act, {Module::kDown, layer}, unit, act, batch);
    swiglu_backward(act.gate, act.up, dact, act.gate, act.up, spec_.config.gate, stream_);
  }
  if (fused()) {
    ArenaScope inner(scratch_);
    const int64_t size = act.gate.dim(1);
    const Tensor both = scratch_.take(dtype_, {act.gate.dim(0), 2 * size});
    copy_columns(both, 0, act.gate, 0, size, stream_);
    copy_columns(both, size, act.up, 0, size, stream_);
    linear_backward(dnorm, false, both, act.norm2, {Module::kGateUp, layer}, unit, act, batch);
  } else {
    linear_backward(dnorm, false, act.gate, act.norm2, {Module::kGate, layer}, unit, act, batch);
    linear_backward(dnorm, true, act.up, act.norm2, {Module::kUp, layer}, unit, act, batch);
  }
  norm_backward(d, dnorm, act.mid, act.rstd2, params.post_attention_norm, unit);
}

void Transformer::head_norm_backward(Tensor dq, Tensor dk, int layer, const UnitView& unit,
                                     const BlockActivations& act, Tensor q_rstd, Tensor k_rstd) {
  const BlockParams& params = spec_.blocks[static_cast<size_t>(layer)];
  const int64_t dim = spec_.config.head_dim;
  const auto back = [&](Tensor d, Tensor raw, Tensor rstd, int param) {
    ArenaScope scope(scratch_);
    const Shape heads{d.numel() / dim, dim};
    const Tensor dy = scratch_.take(dtype_, heads);
    copy(dy, d.reshaped(heads), stream_);
    fill_zero(d, stream_);
    norm_backward(d.reshaped(heads), dy, raw.reshaped(heads), rstd, param, unit);
  };
  back(dq, act.q, q_rstd, params.q_norm);
  back(dk, act.k, k_rstd, params.k_norm);
}

// d: gradient of `mid`, becomes the gradient of the block's input.
void Transformer::attention_backward_block(Tensor d, ConstTensor x_in, int layer,
                                           const UnitView& unit, BlockActivations& act,
                                           const MicroBatchView& batch, bool need_input_grad) {
  const BlockParams& params = spec_.blocks[static_cast<size_t>(layer)];
  ArenaScope scope(scratch_);
  const Tensor d_o = scratch_.take(dtype_, act.o.shape());
  const Tensor dq = scratch_.take(dtype_, act.q.shape());
  const Tensor dk = scratch_.take(dtype_, act.k.shape());
  const Tensor dv = scratch_.take(dtype_, act.v.shape());
  const Tensor delta = scratch_.take(DType::kF32, act.lse.shape());
  Tensor dout = d;
  if (spec_.config.sandwich_norms) {
    dout = scratch_.take(dtype_, d.shape());
    fill_zero(dout, stream_);
    norm_backward(dout, d, act.attention_out, act.attention_out_rstd, params.attention_output_norm,
                  unit);
  }
  linear_backward(d_o, false, dout, act.o, {Module::kO, layer}, unit, act, batch);
  Tensor q = act.q;
  Tensor k = act.k;
  Tensor q_rstd;
  Tensor k_rstd;
  if (spec_.config.qk_norm) {
    q = scratch_.take(dtype_, act.q.shape());
    k = scratch_.take(dtype_, act.k.shape());
    q_rstd = scratch_.take(DType::kF32, {q.numel() / spec_.config.head_dim});
    k_rstd = scratch_.take(DType::kF32, {k.numel() / spec_.config.head_dim});
    rotate_heads(q, k, q_rstd, k_rstd, layer, unit, act, batch);
  }
  attention_backward(dq, dk, dv, delta, d_o, q, k, act.v, act.o, act.lse, batch.cu_seqlens,
                     attention_shape(layer), attention_pairs(layer, batch), stream_);
  rope(dq, batch.positions, rope_table(layer), spec_.config.head_dim, true, stream_);
  rope(dk, batch.positions, rope_table(layer), spec_.config.head_dim, true, stream_);
  if (spec_.config.qk_norm) head_norm_backward(dq, dk, layer, unit, act, q_rstd, k_rstd);
  // The first block of an adapted model needs no gradient of its input; full training always does.
  Tensor dnorm;
  if (need_input_grad || unit.grad(params.input_norm).defined()) {
    dnorm = scratch_.take(dtype_, act.norm1.shape());
  }
  if (fused()) {
    const Tensor all = scratch_.take(dtype_, {dq.dim(0), dq.dim(1) + 2 * dk.dim(1)});
    copy_columns(all, 0, dq, 0, dq.dim(1), stream_);
    copy_columns(all, dq.dim(1), dk, 0, dk.dim(1), stream_);
    copy_columns(all, dq.dim(1) + dk.dim(1), dv, 0, dv.dim(1), stream_);
    linear_backward(dnorm, false, all, act.norm1, {Module::kQkv, layer}, unit, act, batch);
  } else {
    linear_backward(dnorm, false, dq, act.norm1, {Module::kQ, layer}, unit, act, batch);
    linear_backward(dnorm, true, dk, act.norm1, {Module::kK, layer}, unit, act, batch);
    linear_backward(dnorm, true, dv, act.norm1, {Module::kV, layer}, unit, act, batch);
  }
  if (dnorm.defined()) norm_backward(d, dnorm, x_in, act.rstd1, params.input_norm, unit);
}

void Transformer::block_backward(Tensor d, ConstTensor x_in, int layer, const UnitView& unit,
                                 BlockActivations& kept, const MicroBatchView& batch,
                                 bool need_input_grad) {
  ArenaScope scope(scratch_);
  BlockActivations act = with_scratch(kept, batch.tokens);
  const BlockParams& params = spec_.blocks[static_cast<size_t>(layer)];
  // Before mlp_backward uses up gate and up. The same operations on the same values: same bits.
  if (!kept.act.defined()) {
    swiglu_forward(act.act, act.gate, act.up, spec_.config.gate, stream_);
  }
  if (!kept.norm2.defined()) {
    norm(act.norm2, act.rstd2, act.mid, params.post_attention_norm, unit);
  }
  if (!kept.norm1.defined()) norm(act.norm1, act.rstd1, x_in, params.input_norm, unit);
  mlp_backward(d, layer, unit, act, batch);
  attention_backward_block(d, x_in, layer, unit, act, batch, need_input_grad);
}

void Transformer::head(double* loss_sum, Tensor d, ConstTensor x, const UnitView& unit,
                       const MicroBatchView& batch) {
  const int64_t rows = batch.targets.dim(0);
  const int64_t hidden = spec_.config.hidden_size;
  const int64_t vocab = spec_.config.vocab_size;
  const bool backward = d.defined();
  ArenaScope scope(scratch_);
  // Only rows that have a target reach the head.
  const Tensor xt = scratch_.take(dtype_, {rows, hidden});
  const Tensor normed = scratch_.take(dtype_, {rows, hidden});
  const Tensor rstd = scratch_.take(DType::kF32, {rows});
  const Tensor losses = scratch_.take(DType::kF32, {rows});
  gather_rows(xt, x, batch.target_rows, stream_);
  norm(normed, rstd, xt, spec_.final_norm_param, unit);
  Tensor dnormed;
  if (backward) dnormed = scratch_.take(dtype_, {rows, hidden});
  const LinearWeight weight = unit.weight(spec_.head_param);
  const Tensor dweight = backward ? unit.grad(spec_.head_param) : Tensor{};
  {
    ArenaScope chunks(scratch_);
    const int64_t chunk = std::min(head_chunk_rows(vocab), std::max<int64_t>(rows, 1));
    const Tensor logits_chunk = scratch_.take(DType::kF32, {chunk, vocab});
    Tensor dlogits_chunk = logits_chunk;
    if (backward && dtype_ != DType::kF32) {
      dlogits_chunk = scratch_.take(dtype_, {chunk, vocab});
    }
    for (int64_t begin = 0; begin < rows; begin += chunk) {
      const int64_t count = std::min(chunk, rows - begin);
      const Tensor logits = logits_chunk.rows(0, count);
      const Tensor dlogits = backward ? dlogits_chunk.rows(0, count) : Tensor{};
      linear_forward(logits, normed.rows(begin, count), weight, false, stream_);
      const float cap = spec_.config.logit_soft_cap;
      if (cap > 0) soft_cap_logits(logits, cap, stream_);
      cross_entropy(losses.rows(begin, count), dlogits, logits, batch.targets.rows(begin, count),
                    cap, scalars_, stream_);
      if (!backward) continue;
      linear_backward_input(dnormed.rows(begin, count), dlogits, weight, false, stream_);
      if (dweight.defined()) {
        linear_backward_weight(dweight, dlogits, normed.rows(begin, count), stream_);
      }
    }
  }
  add_sum(loss_sum, losses, stream_);
  if (!backward) return;
  const Tensor dxt = scratch_.take(dtype_, {rows, hidden});
  fill_zero(dxt, stream_);
  norm_backward(dxt, dnormed, xt, rstd, spec_.final_norm_param, unit);
  scatter_rows(d, dxt, batch.target_rows, stream_);
}

}  // namespace athanor

// Forward passes. transformer_backward.cpp has the backward ones, in the same order.
#include "runtime/model/transformer.h"

#include <algorithm>
#include <cmath>

#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"
#include "kernels/swiglu/swiglu.h"

namespace athanor {

BlockActivations BlockActivations::narrowed(int64_t tokens) const {
  BlockActivations view = *this;
  for (Tensor* tensor : {&view.norm1, &view.norm2, &view.rstd1, &view.rstd2, &view.q, &view.k,
                         &view.v, &view.o, &view.mid, &view.gate, &view.up, &view.act}) {
    if (tensor->defined()) *tensor = tensor->rows(0, tokens);
  }
  view.lse = Tensor(lse.raw(), DType::kF32, {lse.dim(0), tokens});
  for (Tensor& tensor : view.lora) {
    if (tensor.defined()) tensor = tensor.rows(0, tokens);
  }
  return view;
}

Transformer::Transformer(const ModelSpec& spec, DType dtype, Tensor rope_table, Arena& scratch,
                         const StepScalars* scalars, Stream& stream)
    : spec_(spec),
      dtype_(dtype),
      rope_table_(rope_table),
      scratch_(scratch),
      scalars_(scalars),
      stream_(stream) {}

BlockActivations Transformer::take_activations(Arena& arena, int64_t tokens,
                                               Recomputation recompute) const {
  const TransformerConfig& c = spec_.config;
  const bool keeps_all = recompute != Recomputation::kSelective;
  BlockActivations act;
  if (keeps_all) act.norm1 = arena.take(dtype_, {tokens, c.hidden_size});
  act.rstd1 = arena.take(DType::kF32, {tokens});
  act.q = arena.take(dtype_, {tokens, c.query_size()});
  act.k = arena.take(dtype_, {tokens, c.key_value_size()});
  act.v = arena.take(dtype_, {tokens, c.key_value_size()});
  act.o = arena.take(dtype_, {tokens, c.query_size()});
  act.lse = arena.take(DType::kF32, {c.num_attention_heads, tokens});
  act.mid = arena.take(dtype_, {tokens, c.hidden_size});
  if (keeps_all) act.norm2 = arena.take(dtype_, {tokens, c.hidden_size});
  act.rstd2 = arena.take(DType::kF32, {tokens});
  act.gate = arena.take(dtype_, {tokens, c.intermediate_size});
  act.up = arena.take(dtype_, {tokens, c.intermediate_size});
  if (keeps_all) act.act = arena.take(dtype_, {tokens, c.intermediate_size});
  for (size_t i = 0; i < kNumModules; ++i) {
    const bool adapted =
        std::any_of(spec_.blocks.begin(), spec_.blocks.end(),
                    [i](const BlockParams& block) { return block.lora_a[i] >= 0; });
    if (adapted) act.lora[i] = arena.take(dtype_, {tokens, spec_.lora->rank});
  }
  return act;
}

BlockActivations Transformer::with_scratch(const BlockActivations& act, int64_t tokens) {
  const TransformerConfig& c = spec_.config;
  BlockActivations all = act;
  if (!all.norm1.defined()) all.norm1 = scratch_.take(dtype_, {tokens, c.hidden_size});
  if (!all.norm2.defined()) all.norm2 = scratch_.take(dtype_, {tokens, c.hidden_size});
  if (!all.act.defined()) all.act = scratch_.take(dtype_, {tokens, c.intermediate_size});
  return all;
}

void Transformer::embed(Tensor x, const UnitView& unit, const MicroBatchView& batch) {
  embedding_forward(x, batch.ids, unit.weight(spec_.embedding_param), stream_);
}

// y = x W^T, and where the module is adapted: lora = scaling * dropout(x) A^T, y += lora B^T.
// Without y only what the backward pass needs is computed.
void Transformer::linear(Tensor y, ConstTensor x, Linear which, const UnitView& unit,
                         BlockActivations& act, const MicroBatchView& batch) {
  if (y.defined()) {
    linear_forward(y, x, unit.weight(block_param(which.layer, which.module, &BlockParams::weight)),
                   false, stream_);
  }
  const int a = block_param(which.layer, which.module, &BlockParams::lora_a);
  if (a < 0) return;
  const int b = block_param(which.layer, which.module, &BlockParams::lora_b);
  const Tensor lora = act.lora[static_cast<size_t>(which.module)];
  ArenaScope scope(scratch_);
  if (spec_.lora->dropout > 0 && batch.dropout) {
    const Tensor dropped = scratch_.take(dtype_, x.shape());
    dropout(dropped, x, dropout_site(which, batch), scalars_, stream_);
    x = dropped;
  }
  linear_forward(lora, x, unit.weight(a), false, stream_);
  scale(lora, lora, spec_.lora->scaling(), stream_);
  if (y.defined()) linear_forward(y, lora, unit.weight(b), true, stream_);
}

DropoutSite Transformer::dropout_site(Linear which, const MicroBatchView& batch) const {
  DropoutSite site;
  site.probability = static_cast<float>(spec_.lora->dropout);
  site.micro_batch = batch.micro_batch;
  site.site = int64_t{which.layer} * kNumModules + static_cast<int64_t>(which.module);
  return site;
}

AttentionShape Transformer::attention_shape() const {
  const TransformerConfig& c = spec_.config;
  return {c.num_attention_heads, c.num_key_value_heads, c.head_dim,
          static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.head_dim)))};
}

// norm1, q, k, v with q and k rotated.
void Transformer::attention_inputs(int layer, const UnitView& unit, BlockActivations& act,
                                   ConstTensor x_in, const MicroBatchView& batch) {
  const BlockParams& params = spec_.blocks[static_cast<size_t>(layer)];
  rms_norm_forward(act.norm1, act.rstd1, x_in, unit.tensor(params.input_norm),
                   spec_.config.rms_norm_eps, stream_);
  linear(act.q, act.norm1, {Module::kQ, layer}, unit, act, batch);
  linear(act.k, act.norm1, {Module::kK, layer}, unit, act, batch);
  linear(act.v, act.norm1, {Module::kV, layer}, unit, act, batch);
  rope(act.q, batch.positions, rope_table_, spec_.config.head_dim, false, stream_);
  rope(act.k, batch.positions, rope_table_, spec_.config.head_dim, false, stream_);
}

// From the attention's output to the block's.
void Transformer::block_tail(Tensor x_out, ConstTensor x_in, int layer, const UnitView& unit,
                             BlockActivations& act, const MicroBatchView& batch) {
  const BlockParams& params = spec_.blocks[static_cast<size_t>(layer)];
  linear(act.mid, act.o, {Module::kO, layer}, unit, act, batch);
  add(act.mid, x_in, act.mid, stream_);
  rms_norm_forward(act.norm2, act.rstd2, act.mid, unit.tensor(params.post_attention_norm),
                   spec_.config.rms_norm_eps, stream_);
  linear(act.gate, act.norm2, {Module::kGate, layer}, unit, act, batch);
  linear(act.up, act.norm2, {Module::kUp, layer}, unit, act, batch);
  swiglu_forward(act.act, act.gate, act.up, stream_);
  linear(x_out, act.act, {Module::kDown, layer}, unit, act, batch);
  if (x_out.defined()) add(x_out, act.mid, x_out, stream_);
}

void Transformer::block_forward(Tensor x_out, ConstTensor x_in, int layer, const UnitView& unit,
                                BlockActivations& kept, const MicroBatchView& batch) {
  ArenaScope scope(scratch_);
  BlockActivations act = with_scratch(kept, batch.tokens);
  attention_inputs(layer, unit, act, x_in, batch);
  attention_forward(act.o, act.lse, act.q, act.k, act.v, batch.cu_seqlens, batch.cu_seqlens,
                    attention_shape(), batch.attention_pairs, stream_);
  block_tail(x_out, x_in, layer, unit, act, batch);
}

void Transformer::block_forward_cached(Tensor x_out, ConstTensor x_in, int layer,
                                       const UnitView& unit, BlockActivations& act,
                                       const MicroBatchView& batch, const KeyValueCache& cache,
                                       ConstTensor cache_cu) {
  act.k = cache.k.rows(cache.length, batch.tokens);
  act.v = cache.v.rows(cache.length, batch.tokens);
  attention_inputs(layer, unit, act, x_in, batch);
  const int64_t total = cache.length + batch.tokens;
  attention_forward(act.o, act.lse, act.q, cache.k.rows(0, total), cache.v.rows(0, total),
                    batch.cu_seqlens, cache_cu, attention_shape(), batch.attention_pairs, stream_);
  block_tail(x_out, x_in, layer, unit, act, batch);
}

int64_t Transformer::head_chunk_rows(int64_t vocab_size) {
  constexpr int64_t kChunkElements = int64_t{16} << 20;  // 64 MiB of f32 logits
  return std::clamp<int64_t>(kChunkElements / vocab_size / 16 * 16, 16, 256);
}

void Transformer::logits(Tensor logits, ConstTensor x, const UnitView& unit) {
  ArenaScope scope(scratch_);
  const Tensor normed = scratch_.take(dtype_, x.shape());
  const Tensor rstd = scratch_.take(DType::kF32, {x.dim(0)});
  rms_norm_forward(normed, rstd, x, unit.tensor(spec_.final_norm_param), spec_.config.rms_norm_eps,
                   stream_);
  linear_forward(logits, normed, unit.weight(spec_.head_param), false, stream_);
}

}  // namespace athanor

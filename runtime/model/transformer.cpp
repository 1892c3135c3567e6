// Forward passes. transformer_backward.cpp has the backward ones, in the same order.
#include "runtime/model/transformer.h"

#include <algorithm>
#include <cmath>

#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/dora/dora.h"
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
  for (Tensor* tensor :
       {&view.attention_out, &view.attention_out_rstd, &view.mlp_out, &view.mlp_out_rstd}) {
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
  if (c.sandwich_norms) {
    act.attention_out = arena.take(dtype_, {tokens, c.hidden_size});
    act.attention_out_rstd = arena.take(DType::kF32, {tokens});
    act.mlp_out = arena.take(dtype_, {tokens, c.hidden_size});
    act.mlp_out_rstd = arena.take(DType::kF32, {tokens});
  }
  for (size_t i = 0; i < kNumModules; ++i) {
    int64_t rank = 0;  // of any block's: all share these sizes
    for (const BlockParams& block : spec_.blocks) rank = std::max(rank, block.lora_rank[i]);
    if (rank > 0) act.lora[i] = arena.take(dtype_, {tokens, rank});
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
  if (spec_.config.scale_embeddings) scale(x, x, embedding_scale(), stream_);
}

// sqrt(C), rounded to the working dtype as transformers does.
float Transformer::embedding_scale() const {
  const auto exact = static_cast<float>(std::sqrt(static_cast<double>(spec_.config.hidden_size)));
  return dtype_ == DType::kBF16 ? to_float(to_bfloat16(exact)) : exact;
}

void Transformer::norm(Tensor y, Tensor rstd, ConstTensor x, int param, const UnitView& unit) {
  rms_norm_forward(y, rstd, x, unit.tensor(param), spec_.config.rms_norm_eps,
                   spec_.config.norm_weight_offset, stream_);
}

// y (+)= bias, as a product with a column of ones.
void Transformer::add_bias(Tensor y, int bias, bool accumulate, const UnitView& unit) {
  ArenaScope scope(scratch_);
  const Tensor ones = scratch_.take(dtype_, {y.dim(0), 1});
  fill(ones, 1.0f, stream_);
  const ConstTensor column = unit.tensor(bias).reshaped({y.dim(1), 1});
  linear_forward(y, ones, LinearWeight{column, {}, dtype_, y.dim(1), 1}, accumulate, stream_);
}

// y = x W^T + bias, where the chain of the product goes on from the bias; with an adapter y = x W^T
// + h B^T + bias, and with DoRA its magnitudes scale all but the bias. Without y only what the
// backward pass needs is computed.
void Transformer::linear(Tensor y, ConstTensor x, Linear which, const UnitView& unit,
                         BlockActivations& act, const MicroBatchView& batch) {
  const int bias = block_param(which.layer, which.module, &BlockParams::bias);
  const bool scaled = block_param(which.layer, which.module, &BlockParams::lora_magnitude) >= 0;
  const bool bias_first = bias >= 0 && !scaled;
  if (y.defined()) {
    if (bias_first) add_bias(y, bias, false, unit);
    linear_forward(y, x, unit.weight(block_param(which.layer, which.module, &BlockParams::weight)),
                   bias_first, stream_);
  }
  if (block_param(which.layer, which.module, &BlockParams::lora_a) < 0) return;
  lora_forward(y, x, which, unit, act, batch);
  if (!scaled || !y.defined()) return;
  ArenaScope scope(scratch_);
  scale_outputs(y, y, dora(which, unit).scale, stream_);
  if (bias >= 0) add_bias(y, bias, true, unit);
}

// h = scaling * dropout(x) A^T, kept in act; y += h B^T.
void Transformer::lora_forward(Tensor y, ConstTensor x, Linear which, const UnitView& unit,
                               BlockActivations& act, const MicroBatchView& batch) {
  const int a = block_param(which.layer, which.module, &BlockParams::lora_a);
  const int b = block_param(which.layer, which.module, &BlockParams::lora_b);
  const Tensor h = lora_hidden(which, act, x.dim(0));
  ArenaScope scope(scratch_);
  if (spec_.lora->dropout > 0 && batch.dropout) {
    const Tensor dropped = scratch_.take(dtype_, x.shape());
    dropout(dropped, x, dropout_site(which, batch), scalars_, stream_);
    x = dropped;
  }
  linear_forward(h, x, unit.weight(a), false, stream_);
  scale(h, h, lora_scaling(which), stream_);
  if (y.defined()) linear_forward(y, h, unit.weight(b), true, stream_);
}

Transformer::Dora Transformer::dora(Linear which, const UnitView& unit) {
  const int a = block_param(which.layer, which.module, &BlockParams::lora_a);
  const int b = block_param(which.layer, which.module, &BlockParams::lora_b);
  const int magnitude = block_param(which.layer, which.module, &BlockParams::lora_magnitude);
  const LinearWeight weight =
      unit.weight(block_param(which.layer, which.module, &BlockParams::weight));
  const int64_t out = weight.out_features;
  const int64_t rank = unit.tensor(a).dim(0);
  const Dora result{scratch_.take(DType::kF32, {out}), scratch_.take(DType::kF32, {out})};
  ArenaScope scope(scratch_);
  const Tensor squares = scratch_.take(DType::kF32, {out});
  const Tensor product = scratch_.take(DType::kF32, {rank, out});
  const Tensor gram = scratch_.take(DType::kF32, {rank, rank});
  weight_row_squares(squares, weight, stream_);
  linear_forward(product, unit.tensor(a), weight, false, stream_);
  linear_forward(gram, unit.tensor(a), unit.weight(a), false, stream_);
  dora_scales(result.scale, result.norm, squares, product, gram, unit.tensor(b),
              unit.tensor(magnitude), lora_scaling(which), stream_);
  return result;
}

// The block's own rank may be below the one that memory was taken for.
Tensor Transformer::lora_hidden(Linear which, const BlockActivations& act, int64_t tokens) const {
  const auto module = static_cast<size_t>(which.module);
  const int64_t rank = spec_.blocks[static_cast<size_t>(which.layer)].lora_rank[module];
  return Tensor(act.lora[module].raw(), dtype_, {tokens, rank});
}

float Transformer::lora_scaling(Linear which) const {
  const BlockParams& params = spec_.blocks[static_cast<size_t>(which.layer)];
  return params.lora_scaling[static_cast<size_t>(which.module)];
}

DropoutSite Transformer::dropout_site(Linear which, const MicroBatchView& batch) const {
  DropoutSite site;
  site.probability = static_cast<float>(spec_.lora->dropout);
  site.micro_batch = batch.micro_batch;
  site.site = int64_t{which.layer} * kNumModules + static_cast<int64_t>(which.module);
  return site;
}

AttentionShape Transformer::attention_shape(int layer) const {
  const TransformerConfig& c = spec_.config;
  const double scale =
      c.query_scale > 0 ? c.query_scale : 1.0 / std::sqrt(static_cast<double>(c.head_dim));
  return {c.num_attention_heads,     c.num_key_value_heads, c.head_dim,
          static_cast<float>(scale), c.layer(layer).window, c.attention_soft_cap};
}

// At most a window a query.
int64_t Transformer::attention_pairs(int layer, const MicroBatchView& batch) const {
  const int64_t window = spec_.config.layer(layer).window;
  if (window == 0) return batch.attention_pairs;
  return std::min(batch.attention_pairs, window * batch.tokens);
}

ConstTensor Transformer::rope_table(int layer) const {
  const int64_t positions = rope_table_.dim(0) / static_cast<int64_t>(spec_.config.ropes.size());
  return rope_table_.rows(spec_.config.layer(layer).rope * positions, positions);
}

void Transformer::qkv(int layer, const UnitView& unit, BlockActivations& act,
                      const MicroBatchView& batch) {
  if (!fused()) {
    linear(act.q, act.norm1, {Module::kQ, layer}, unit, act, batch);
    linear(act.k, act.norm1, {Module::kK, layer}, unit, act, batch);
    linear(act.v, act.norm1, {Module::kV, layer}, unit, act, batch);
    return;
  }
  ArenaScope scope(scratch_);
  const int64_t queries = act.q.dim(1);
  const int64_t keys = act.k.dim(1);
  const Tensor all = scratch_.take(dtype_, {act.q.dim(0), queries + 2 * keys});
  linear(all, act.norm1, {Module::kQkv, layer}, unit, act, batch);
  copy_columns(act.q, 0, all, 0, queries, stream_);
  copy_columns(act.k, 0, all, queries, keys, stream_);
  copy_columns(act.v, 0, all, queries + keys, keys, stream_);
}

void Transformer::rotate_heads(Tensor q_out, Tensor k_out, Tensor q_rstd, Tensor k_rstd, int layer,
                               const UnitView& unit, const BlockActivations& act,
                               const MicroBatchView& batch) {
  const TransformerConfig& c = spec_.config;
  const BlockParams& params = spec_.blocks[static_cast<size_t>(layer)];
  if (c.qk_norm) {
    const auto heads = [&](Tensor x) { return x.reshaped({x.numel() / c.head_dim, c.head_dim}); };
    norm(heads(q_out), q_rstd, heads(act.q), params.q_norm, unit);
    norm(heads(k_out), k_rstd, heads(act.k), params.k_norm, unit);
  }
  rope(q_out, batch.positions, rope_table(layer), c.head_dim, false, stream_);
  rope(k_out, batch.positions, rope_table(layer), c.head_dim, false, stream_);
}

void Transformer::attend(BlockActivations& act, ConstTensor q, ConstTensor k, ConstTensor v,
                         int layer, ConstTensor cu_keys, const MicroBatchView& batch) {
  attention_forward(act.o, act.lse, q, k, v, batch.cu_seqlens, cu_keys, attention_shape(layer),
                    attention_pairs(layer, batch), stream_);
}

// norm1, q, k, v.
void Transformer::attention_inputs(int layer, const UnitView& unit, BlockActivations& act,
                                   ConstTensor x_in, const MicroBatchView& batch) {
  norm(act.norm1, act.rstd1, x_in, spec_.blocks[static_cast<size_t>(layer)].input_norm, unit);
  qkv(layer, unit, act, batch);
}

// From the attention's output to the block's.
void Transformer::block_tail(Tensor x_out, ConstTensor x_in, int layer, const UnitView& unit,
                             BlockActivations& act, const MicroBatchView& batch) {
  const BlockParams& params = spec_.blocks[static_cast<size_t>(layer)];
  const bool sandwich = spec_.config.sandwich_norms;
  linear(sandwich ? act.attention_out : act.mid, act.o, {Module::kO, layer}, unit, act, batch);
  if (sandwich) {
    norm(act.mid, act.attention_out_rstd, act.attention_out, params.attention_output_norm, unit);
  }
  add(act.mid, x_in, act.mid, stream_);
  norm(act.norm2, act.rstd2, act.mid, params.post_attention_norm, unit);
  if (fused()) {
    ArenaScope scope(scratch_);
    const int64_t inner = act.gate.dim(1);
    const Tensor both = scratch_.take(dtype_, {act.gate.dim(0), 2 * inner});
    linear(both, act.norm2, {Module::kGateUp, layer}, unit, act, batch);
    copy_columns(act.gate, 0, both, 0, inner, stream_);
    copy_columns(act.up, 0, both, inner, inner, stream_);
  } else {
    linear(act.gate, act.norm2, {Module::kGate, layer}, unit, act, batch);
    linear(act.up, act.norm2, {Module::kUp, layer}, unit, act, batch);
  }
  swiglu_forward(act.act, act.gate, act.up, spec_.config.gate, stream_);
  linear(sandwich ? act.mlp_out : x_out, act.act, {Module::kDown, layer}, unit, act, batch);
  ArenaScope scope(scratch_);
  Tensor out = x_out;
  if (sandwich) {  // also when recomputing: the backward pass needs mlp_out_rstd
    if (!out.defined()) out = scratch_.take(dtype_, act.mlp_out.shape());
    norm(out, act.mlp_out_rstd, act.mlp_out, params.mlp_output_norm, unit);
  }
  if (x_out.defined()) add(x_out, act.mid, out, stream_);
}

void Transformer::block_forward(Tensor x_out, ConstTensor x_in, int layer, const UnitView& unit,
                                BlockActivations& kept, const MicroBatchView& batch) {
  ArenaScope scope(scratch_);
  BlockActivations act = with_scratch(kept, batch.tokens);
  attention_inputs(layer, unit, act, x_in, batch);
  ArenaScope heads(scratch_);
  Tensor q = act.q;
  Tensor k = act.k;
  Tensor q_rstd;
  Tensor k_rstd;
  if (spec_.config.qk_norm) {  // act keeps what the norms' backward pass needs
    q = scratch_.take(dtype_, act.q.shape());
    k = scratch_.take(dtype_, act.k.shape());
    q_rstd = scratch_.take(DType::kF32, {q.numel() / spec_.config.head_dim});
    k_rstd = scratch_.take(DType::kF32, {k.numel() / spec_.config.head_dim});
  }
  rotate_heads(q, k, q_rstd, k_rstd, layer, unit, act, batch);
  attend(act, q, k, act.v, layer, batch.cu_seqlens, batch);
  block_tail(x_out, x_in, layer, unit, act, batch);
}

void Transformer::block_forward_cached(Tensor x_out, ConstTensor x_in, int layer,
                                       const UnitView& unit, BlockActivations& act,
                                       const MicroBatchView& batch, const KeyValueCache& cache,
                                       ConstTensor cache_cu) {
  const Tensor k = cache.k.rows(cache.length, batch.tokens);
  act.v = cache.v.rows(cache.length, batch.tokens);
  if (!spec_.config.qk_norm) act.k = k;
  attention_inputs(layer, unit, act, x_in, batch);
  ArenaScope heads(scratch_);
  Tensor q = act.q;
  Tensor q_rstd;
  Tensor k_rstd;
  if (spec_.config.qk_norm) {
    q = scratch_.take(dtype_, act.q.shape());
    q_rstd = scratch_.take(DType::kF32, {q.numel() / spec_.config.head_dim});
    k_rstd = scratch_.take(DType::kF32, {k.numel() / spec_.config.head_dim});
  }
  rotate_heads(q, k, q_rstd, k_rstd, layer, unit, act, batch);
  const int64_t total = cache.length + batch.tokens;
  attend(act, q, cache.k.rows(0, total), cache.v.rows(0, total), layer, cache_cu, batch);
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
  norm(normed, rstd, x, spec_.final_norm_param, unit);
  linear_forward(logits, normed, unit.weight(spec_.head_param), false, stream_);
  if (spec_.config.logit_soft_cap > 0) {
    soft_cap_logits(logits, spec_.config.logit_soft_cap, stream_);
  }
}

}  // namespace athanor

// Transformer: forward and backward computation of the chain's positions on one micro-batch.
// Backward passes are derived by hand; nothing here knows ranks, stages or schedules.
//
// Shapes: N tokens of the micro-batch, C hidden, H query heads, K key/value heads, D head_dim,
// F intermediate, V vocab, R lora rank. Activations and weights have the working dtype f32|bf16.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "core/stream.h"
#include "kernels/attention/attention.h"
#include "kernels/dropout/dropout.h"
#include "kernels/step_scalars.h"
#include "runtime/model/model_spec.h"
#include "runtime/model/unit_view.h"

namespace athanor {

// A micro-batch in device memory: its samples one after another, without padding.
struct MicroBatchView {
  ConstTensor ids;          // [N] i32
  ConstTensor positions;    // [N] i32, from 0 in each sample
  ConstTensor cu_seqlens;   // [S+1] i32
  ConstTensor target_rows;  // [Nt] i32: tokens that have a target
  ConstTensor targets;      // [Nt] i32: that target
  int64_t tokens = 0;
  int64_t attention_pairs = 0;
  int64_t micro_batch = 0;  // global index within the step, for dropout
  bool dropout = true;      // false where nothing is trained: evaluation, generation
};

// What the backward pass computes again instead of keeping it: kSelective the norms' and the
// activation function's outputs inside block_backward, kFull the whole block before it.
enum class Recomputation { kNone, kSelective, kFull };

// What a block keeps between its forward and backward pass. norm1, norm2 and act are undefined
// where they are computed again.
struct BlockActivations {
  Tensor norm1, norm2;  // [N, C]
  Tensor rstd1, rstd2;  // [N] f32
  // [N, H*D], [N, K*D], [N, K*D], [N, H*D]; q and k rotated, or before their norms where there are
  Tensor q, k, v, o;
  Tensor lse;                               // [H, N] f32
  Tensor mid;                               // [N, C], after attention
  Tensor attention_out, mlp_out;            // [N, C] and
  Tensor attention_out_rstd, mlp_out_rstd;  // [N] f32, where these outputs are normalised
  Tensor gate, up, act;                     // [N, F]
  std::array<Tensor, kNumModules> lora;     // [N, R], scaled x A^T; R the largest of the blocks

  // The same memory seen by a micro-batch of fewer tokens.
  BlockActivations narrowed(int64_t tokens) const;
};

// Keys and values of earlier tokens of one sequence, for generation.
struct KeyValueCache {
  Tensor k, v;         // [capacity, K*D]
  int64_t length = 0;  // tokens already there; the new ones follow
};

class Transformer {
 public:
  // `rope_table`: [positions, D] f32. `scratch` holds what lives inside one call.
  Transformer(const ModelSpec& spec, DType dtype, Tensor rope_table, Arena& scratch,
              const StepScalars* scalars, Stream& stream);

  // Carves the activations of one block for up to `tokens` tokens.
  BlockActivations take_activations(Arena& arena, int64_t tokens,
                                    Recomputation recompute = Recomputation::kNone) const;

  // x: [N, C]
  void embed(Tensor x, const UnitView& unit, const MicroBatchView& batch);
  void embed_backward(ConstTensor d, const UnitView& unit, const MicroBatchView& batch);

  // x_out, x_in: [N, C]. Without x_out (recomputation) only the activations are made. With a cache,
  // the new keys and values are appended to it and the queries see all of it; batch.cu_seqlens is
  // then the queries' and cache_cu [2] i32 the keys'.
  void block_forward(Tensor x_out, ConstTensor x_in, int layer, const UnitView& unit,
                     BlockActivations& kept, const MicroBatchView& batch);
  void block_forward_cached(Tensor x_out, ConstTensor x_in, int layer, const UnitView& unit,
                            BlockActivations& act, const MicroBatchView& batch,
                            const KeyValueCache& cache, ConstTensor cache_cu);
  // d: [N, C], on entry the gradient of x_out, on return of x_in (undefined contents unless
  // `need_input_grad`). Activations are used up.
  void block_backward(Tensor d, ConstTensor x_in, int layer, const UnitView& unit,
                      BlockActivations& kept, const MicroBatchView& batch, bool need_input_grad);

  // *loss_sum += sum of the cross-entropies of the micro-batch's targets. d: [N, C] receives the
  // gradient of loss * scalars->loss_scale with respect to x; undefined: loss only.
  void head(double* loss_sum, Tensor d, ConstTensor x, const UnitView& unit,
            const MicroBatchView& batch);
  // logits: [N, V] f32 for the rows of x. For generation and tests.
  void logits(Tensor logits, ConstTensor x, const UnitView& unit);

  // Rows of logits that are held at a time.
  static int64_t head_chunk_rows(int64_t vocab_size);

 private:
  struct Linear {
    Module module;
    int layer;
  };
  // Gives the undefined activations memory in the scratch arena, for one call.
  BlockActivations with_scratch(const BlockActivations& act, int64_t tokens);
  void norm(Tensor y, Tensor rstd, ConstTensor x, int param, const UnitView& unit);
  // q and k after norm and rotation. In place where there is no norm, else from q, k into the
  // first two.
  void rotate_heads(Tensor q_out, Tensor k_out, Tensor q_rstd, Tensor k_rstd, int layer,
                    const UnitView& unit, const BlockActivations& act, const MicroBatchView& batch);
  void qkv(int layer, const UnitView& unit, BlockActivations& act, const MicroBatchView& batch);
  void attend(BlockActivations& act, ConstTensor q, ConstTensor k, ConstTensor v, int layer,
              ConstTensor cu_keys, const MicroBatchView& batch);
  void bias_backward(Tensor dbias, ConstTensor dy);
  void attention_inputs(int layer, const UnitView& unit, BlockActivations& act, ConstTensor x_in,
                        const MicroBatchView& batch);
  void block_tail(Tensor x_out, ConstTensor x_in, int layer, const UnitView& unit,
                  BlockActivations& act, const MicroBatchView& batch);
  void linear(Tensor y, ConstTensor x, Linear which, const UnitView& unit, BlockActivations& act,
              const MicroBatchView& batch);
  void add_bias(Tensor y, int bias, bool accumulate, const UnitView& unit);
  void lora_forward(Tensor y, ConstTensor x, Linear which, const UnitView& unit,
                    BlockActivations& act, const MicroBatchView& batch);
  // g and norm of kernels/dora in scratch memory.
  struct Dora {
    Tensor scale;  // [O] f32
    Tensor norm;   // [O] f32
  };
  Dora dora(Linear which, const UnitView& unit);
  // In scratch memory: the gradient of what the magnitudes scale. Also theirs.
  Tensor dora_backward(ConstTensor dy, ConstTensor x, Linear which, const UnitView& unit,
                       const BlockActivations& act);
  void linear_backward(Tensor dx, bool accumulate, ConstTensor dy, ConstTensor x, Linear which,
                       const UnitView& unit, const BlockActivations& act,
                       const MicroBatchView& batch);
  void lora_backward(Tensor dx, ConstTensor dy, ConstTensor x, Linear which, const UnitView& unit,
                     const BlockActivations& act, const MicroBatchView& batch);
  void mlp_backward(Tensor d, int layer, const UnitView& unit, BlockActivations& act,
                    const MicroBatchView& batch);
  void attention_backward_block(Tensor d, ConstTensor x_in, int layer, const UnitView& unit,
                                BlockActivations& act, const MicroBatchView& batch,
                                bool need_input_grad);
  // dq, dk of the normalised heads become those of the raw ones.
  void head_norm_backward(Tensor dq, Tensor dk, int layer, const UnitView& unit,
                          const BlockActivations& act, Tensor q_rstd, Tensor k_rstd);
  void norm_backward(Tensor dx, ConstTensor dy, ConstTensor x, ConstTensor rstd, int norm_param,
                     const UnitView& unit);
  int block_param(int layer, Module module,
                  const std::array<int, kNumModules> BlockParams::*which) const {
    return (spec_.blocks[static_cast<size_t>(layer)].*which)[static_cast<size_t>(module)];
  }
  // [tokens, R] of act.lora.
  Tensor lora_hidden(Linear which, const BlockActivations& act, int64_t tokens) const;
  float lora_scaling(Linear which) const;
  DropoutSite dropout_site(Linear which, const MicroBatchView& batch) const;
  AttentionShape attention_shape(int layer) const;
  int64_t attention_pairs(int layer, const MicroBatchView& batch) const;
  ConstTensor rope_table(int layer) const;
  float embedding_scale() const;
  bool fused() const { return spec_.config.fused_projections; }

  const ModelSpec& spec_;
  DType dtype_;
  Tensor rope_table_;
  Arena& scratch_;
  const StepScalars* scalars_;
  Stream& stream_;
};

}  // namespace athanor

// Activations: every buffer between the parameters and the loss, reserved at capacity before the
// first step. How many there are follows from the schedule:
//   inputs of positions   one a position; layer-major keeps them for every micro-batch slot
//   block activations     one set when blocks are recomputed, else one a block (and slot)
//   gradient of the chain one; layer-major one a slot
#pragma once

#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "runtime/model/transformer.h"
#include "runtime/train/step_batch.h"

namespace athanor {

struct ActivationOptions {
  int64_t tokens = 0;     // capacity of a micro-batch, B * cutoff_len
  int64_t slots = 1;      // micro-batches of this rank in a step
  int64_t positions = 2;  // of the chain
  int64_t blocks = 1;
  int64_t hidden_size = 0;
  DType dtype = DType::kF32;
  bool layer_major = false;
  bool recompute = false;
};

class Activations {
 public:
  Activations(const ActivationOptions& options, const Transformer& model, Allocator& device);

  // Copies a slot's micro-batch to the device; the host data must live until the stream has passed.
  void upload(int64_t slot, const HostMicroBatch& batch, int64_t micro_batch, Stream& stream);
  MicroBatchView batch(int64_t slot) const;

  // [N, C] of the slot's micro-batch. position 0 has no input tensor: it reads ids.
  Tensor input(int64_t position, int64_t slot) const;
  Tensor gradient(int64_t slot) const;
  BlockActivations block(int64_t block, int64_t slot) const;

 private:
  struct Slot {
    Tensor ids, positions, cu_seqlens, target_rows, targets;  // at capacity
    MicroBatchView view;
  };
  size_t input_index(int64_t position, int64_t slot) const;
  void carve(Arena& arena, const Transformer& model);

  ActivationOptions options_;
  Arena arena_;
  std::vector<Slot> slots_;
  std::vector<Tensor> inputs_;
  std::vector<Tensor> gradients_;
  std::vector<BlockActivations> blocks_;
};

}  // namespace athanor

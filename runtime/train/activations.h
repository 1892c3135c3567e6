// Activations: every buffer between the parameters and the loss, reserved at capacity before the
// first step. How many there are follows from the schedule:
//   block activations     one set when blocks are fully recomputed, else one a block (and slot)
//   micro-batches         one a slot
// and the boundaries: inputs of positions and the gradient of the chain.
#pragma once

#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "runtime/model/transformer.h"
#include "runtime/train/boundaries.h"
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
  bool boundaries_on_disk = false;
  Recomputation recompute = Recomputation::kNone;
};

class Activations {
 public:
  // `disk` may be null unless boundaries are on disk.
  Activations(const ActivationOptions& options, const Transformer& model, Allocator& device,
              DiskTier* disk, Stream& compute);

  // Copies a slot's micro-batch to the device; the host data must live until the stream has passed.
  void upload(int64_t slot, const HostMicroBatch& batch, int64_t micro_batch, Stream& stream);
  MicroBatchView batch(int64_t slot) const;

  Boundaries& boundaries() { return boundaries_; }
  BlockActivations block(int64_t block, int64_t slot) const;

 private:
  struct Slot {
    Tensor ids, positions, cu_seqlens, target_rows, targets;  // at capacity
    MicroBatchView view;
  };
  void carve(Arena& arena, const Transformer& model);

  ActivationOptions options_;
  Boundaries boundaries_;
  Arena arena_;
  std::vector<Slot> slots_;
  std::vector<BlockActivations> blocks_;
};

}  // namespace athanor

#include "runtime/train/activations.h"

#include <cstring>

namespace athanor {
namespace {

Tensor copy_in(Tensor target, const std::vector<int32_t>& values, Stream& stream) {
  const auto count = static_cast<int64_t>(values.size());
  const Tensor view = target.rows(0, count);
  void* dst = view.raw();
  const void* src = values.data();
  const int64_t bytes = view.bytes();
  stream.submit(Cost{"upload", 0, bytes, bytes}, [=](ExecContext&) {
    if (bytes > 0) std::memcpy(dst, src, static_cast<size_t>(bytes));
  });
  return view;
}

}  // namespace

Activations::Activations(const ActivationOptions& options, const Transformer& model,
                         Allocator& device, DiskTier* disk, Stream& compute)
    : options_(options),
      boundaries_({options.tokens, options.hidden_size, options.dtype, options.positions,
                   options.layer_major ? options.slots : 1, options.boundaries_on_disk},
                  device, disk, compute) {
  Arena measure;
  carve(measure, model);
  arena_ = Arena(device, measure.peak());
  carve(arena_, model);
}

void Activations::carve(Arena& arena, const Transformer& model) {
  const int64_t kept = options_.layer_major ? options_.slots : 1;
  slots_.clear();
  blocks_.clear();
  for (int64_t slot = 0; slot < options_.slots; ++slot) {
    Slot entry;
    for (Tensor* tensor : {&entry.ids, &entry.positions, &entry.target_rows, &entry.targets}) {
      *tensor = arena.take(DType::kI32, {options_.tokens});
    }
    entry.cu_seqlens = arena.take(DType::kI32, {options_.tokens + 1});
    slots_.push_back(entry);
  }
  const bool full = options_.recompute == Recomputation::kFull;
  const int64_t sets = full ? 1 : options_.blocks * kept;
  for (int64_t i = 0; i < sets; ++i) {
    blocks_.push_back(model.take_activations(arena, options_.tokens, options_.recompute));
  }
}

void Activations::upload(int64_t slot, const HostMicroBatch& batch, int64_t micro_batch,
                         Stream& stream) {
  Slot& entry = slots_[static_cast<size_t>(slot)];
  MicroBatchView& view = entry.view;
  view.ids = copy_in(entry.ids, batch.data.input_ids, stream);
  view.positions = copy_in(entry.positions, batch.data.positions, stream);
  view.cu_seqlens = copy_in(entry.cu_seqlens, batch.data.cu_seqlens, stream);
  view.target_rows = copy_in(entry.target_rows, batch.target_rows, stream);
  view.targets = copy_in(entry.targets, batch.targets, stream);
  view.tokens = static_cast<int64_t>(batch.data.input_ids.size());
  view.attention_pairs = batch.attention_pairs;
  view.micro_batch = micro_batch;
}

MicroBatchView Activations::batch(int64_t slot) const {
  return slots_[static_cast<size_t>(slot)].view;
}

BlockActivations Activations::block(int64_t block, int64_t slot) const {
  const int64_t kept = options_.layer_major ? options_.slots : 1;
  const bool full = options_.recompute == Recomputation::kFull;
  const int64_t index = full ? 0 : block * kept + (options_.layer_major ? slot : 0);
  return blocks_[static_cast<size_t>(index)].narrowed(batch(slot).tokens);
}

}  // namespace athanor

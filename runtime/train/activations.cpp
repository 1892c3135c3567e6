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
                         Allocator& device)
    : options_(options) {
  Arena measure;
  carve(measure, model);
  arena_ = Arena(device, measure.peak());
  carve(arena_, model);
}

void Activations::carve(Arena& arena, const Transformer& model) {
  const int64_t kept = options_.layer_major ? options_.slots : 1;
  const Shape chain{options_.tokens, options_.hidden_size};
  slots_.clear();
  inputs_.clear();
  gradients_.clear();
  blocks_.clear();
  for (int64_t slot = 0; slot < options_.slots; ++slot) {
    Slot entry;
    for (Tensor* tensor : {&entry.ids, &entry.positions, &entry.target_rows, &entry.targets}) {
      *tensor = arena.take(DType::kI32, {options_.tokens});
    }
    entry.cu_seqlens = arena.take(DType::kI32, {options_.tokens + 1});
    slots_.push_back(entry);
  }
  for (int64_t i = 0; i < (options_.positions - 1) * kept; ++i) {
    inputs_.push_back(arena.take(options_.dtype, chain));
  }
  for (int64_t i = 0; i < kept; ++i) gradients_.push_back(arena.take(options_.dtype, chain));
  const int64_t sets = options_.recompute ? 1 : options_.blocks * kept;
  for (int64_t i = 0; i < sets; ++i) {
    blocks_.push_back(model.take_activations(arena, options_.tokens));
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

size_t Activations::input_index(int64_t position, int64_t slot) const {
  const int64_t kept = options_.layer_major ? options_.slots : 1;
  return static_cast<size_t>((position - 1) * kept + (options_.layer_major ? slot : 0));
}

Tensor Activations::input(int64_t position, int64_t slot) const {
  ATHANOR_CHECK(position >= 1, "the embedding has no input tensor");
  return inputs_[input_index(position, slot)].rows(0, batch(slot).tokens);
}

Tensor Activations::gradient(int64_t slot) const {
  const auto index = static_cast<size_t>(options_.layer_major ? slot : 0);
  return gradients_[index].rows(0, batch(slot).tokens);
}

BlockActivations Activations::block(int64_t block, int64_t slot) const {
  const int64_t kept = options_.layer_major ? options_.slots : 1;
  const int64_t index = options_.recompute ? 0 : block * kept + (options_.layer_major ? slot : 0);
  return blocks_[static_cast<size_t>(index)].narrowed(batch(slot).tokens);
}

}  // namespace athanor

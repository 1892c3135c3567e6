#include "sharding/grad_store.h"

#include <algorithm>

#include "kernels/elementwise/elementwise.h"
#include "kernels/optimizer/optimizer.h"

namespace athanor {

GradStore::GradStore(const std::vector<UnitSpec>& units, const PartitionTable& table,
                     const std::vector<Placements>& placements, const GradOptions& options,
                     const StoreContext& context)
    : units_(units),
      table_(table),
      placements_(placements),
      options_(options),
      context_(context),
      entries_(units.size()) {
  const bool adds_up = options.reduce == ReduceMode::kMicroStep;
  int64_t largest = 0;
  int64_t largest_landing = 0;
  for (int unit = 0; unit < table.num_units(); ++unit) {
    const int64_t elements = padded_elements(unit);
    if (elements == 0) continue;
    const Placements& placed = placements_[index(unit)];
    const bool in_working_sets = options.one_stretch && (placed.gradients.sharded() || adds_up);
    if (in_working_sets) largest = std::max(largest, elements);
    if (adds_up && placed.optimizer.sharded()) {
      largest_landing = std::max(largest_landing, result_elements(unit));
    }
    entries_[index(unit)].resize(index(units[index(unit)].uses));
    for (Entry& entry : entries_[index(unit)]) {
      if (!in_working_sets) {
        entry.whole = Buffer(context.device, elements * 4 * options.lane_buffers);
      }
      if (in_working_sets || adds_up) {
        entry.total = Buffer(context.device, result_elements(unit) * 4);
      }
    }
  }
  if (largest_landing > 0) landing_ = Buffer(context.device, largest_landing * 4);
  if (largest > 0) {
    for (int set = 0; set < 2; ++set) {
      working_.emplace_back(context.device, largest * 4 * options.lane_buffers);
    }
    working_free_.resize(2);
  }
}

// Of what this rank keeps of a reduced gradient, padding included.
int64_t GradStore::result_elements(int unit) const {
  return placements_[index(unit)].optimizer.sharded() ? table_.unit(unit).trainable_shard_elements
                                                      : padded_elements(unit);
}

int64_t GradStore::padded_elements(int unit) const {
  return table_.unit(unit).trainable_shard_elements * table_.world_size();
}

Tensor GradStore::lane_buffer(int unit, const Entry& entry, int i) const {
  const int64_t elements = padded_elements(unit);
  const Buffer& buffer = entry.whole.defined() ? entry.whole : working_[index(entry.working)];
  return buffer.view(DType::kF32, {elements}, elements * 4 * i);
}

void GradStore::take_working_set(Entry& slot) {
  if (slot.whole.defined() || slot.working >= 0) return;
  slot.working = next_working_;
  next_working_ = 1 - next_working_;
  context_.compute.wait(working_free_[index(slot.working)]);
}

void GradStore::begin(const Visit& visit) {
  if (entries_[index(visit.unit)].empty() || !visit.lane_begins) return;
  Entry& slot = entry(visit.unit, visit.use);
  take_working_set(slot);
  // A buffer of its own may still be read by an earlier reduction of this step.
  if (slot.whole.defined() && slot.level.empty()) context_.compute.wait(slot.reduced);
  ATHANOR_CHECK(static_cast<int>(slot.level.size()) < options_.lane_buffers,
                "more open lanes than gradient buffers");
  slot.level.push_back(0);
  fill_zero(lane_buffer(visit.unit, slot, static_cast<int>(slot.level.size()) - 1),
            context_.compute);
}

Tensor GradStore::grad(int unit, int use, int param) const {
  const ParamPlace& place = table_.unit(unit).params[index(param)];
  if (!place.trainable) return {};
  const Entry& slot = entry(unit, use);
  const Tensor lane = lane_buffer(unit, slot, static_cast<int>(slot.level.size()) - 1);
  return lane.rows(place.offset, place.numel)
      .reshaped(units_[index(unit)].params[index(param)].shape);
}

// The buffer below the top becomes the sum of both: left operand first, as the tree has it.
void GradStore::merge_top(int unit, Entry& slot) {
  const int top = static_cast<int>(slot.level.size()) - 1;
  const Tensor left = lane_buffer(unit, slot, top - 1);
  tree_add(left, left, lane_buffer(unit, slot, top), context_.compute);
  slot.level.pop_back();
  ++slot.level.back();
}

void GradStore::end(const Visit& visit) {
  if (entries_[index(visit.unit)].empty()) return;
  Entry& slot = entry(visit.unit, visit.use);
  if (visit.lane_ends) {
    std::vector<int>& level = slot.level;
    while (level.size() >= 2 && level[level.size() - 2] == level.back()) {
      merge_top(visit.unit, slot);
    }
  }
  if (visit.reduce) reduce(visit);
}

void GradStore::reduce(const Visit& visit) {
  Entry& slot = entry(visit.unit, visit.use);
  while (slot.level.size() >= 2) merge_top(visit.unit, slot);
  take_working_set(slot);  // where this rank had no micro-batch
  context_.communication.wait(context_.compute.record());
  combine_ranks(visit, slot);
  slot.reduced = context_.communication.record();
  if (slot.working >= 0) working_free_[index(slot.working)] = slot.reduced;
  slot.working = -1;
  slot.level.clear();
}

// On the communication stream, so that the additions of successive reductions keep their order.
void GradStore::combine_ranks(const Visit& visit, const Entry& slot) {
  const Tensor whole = lane_buffer(visit.unit, slot, 0);
  const Tensor total = result(visit.unit, slot);
  Stream& stream = context_.communication;
  Communicator& comm = context_.communicator;
  if (placements_[index(visit.unit)].optimizer.sharded()) {
    const Tensor to = visit.reduced_before ? landing_.view(DType::kF32, total.shape()) : total;
    comm.reduce_scatter(to, whole, visit.present_ranks, stream);
    if (visit.reduced_before) tree_add(total, total, to, stream);
    return;
  }
  comm.all_reduce(whole, visit.present_ranks, stream);
  if (!slot.total.defined()) return;
  if (visit.reduced_before) {
    tree_add(total, total, whole, stream);
  } else {
    copy(total, whole, stream);
  }
}

void GradStore::finish() {
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    std::vector<Entry>& uses = entries_[index(unit)];
    for (Entry& slot : uses) context_.compute.wait(slot.reduced);
    for (size_t use = 1; use < uses.size(); ++use) {
      const Tensor sum = result(unit, uses[0]);
      tree_add(sum, sum, result(unit, uses[use]), context_.compute);
    }
  }
}

// Where a (unit, use)'s reduced gradient lies: padded whole or shard.
Tensor GradStore::result(int unit, const Entry& slot) const {
  if (slot.total.defined()) return slot.total.view(DType::kF32, {result_elements(unit)});
  const int64_t shard = table_.unit(unit).trainable_shard_elements;
  if (!placements_[index(unit)].optimizer.sharded()) {
    return slot.whole.view(DType::kF32, {padded_elements(unit)});
  }
  return slot.whole.view(DType::kF32, {shard}, context_.communicator.rank() * shard * 4);
}

Range GradStore::owned_range(int unit) const {
  if (entries_[index(unit)].empty()) return {};
  if (placements_[index(unit)].optimizer.sharded()) {
    return table_.trainable_range(unit, context_.communicator.rank());
  }
  return {0, table_.unit(unit).trainable_elements};
}

Tensor GradStore::owned_grad(int unit) const {
  return result(unit, entry(unit, 0)).rows(0, owned_range(unit).size());
}

}  // namespace athanor

#include "sharding/optimizer_state_store.h"

#include <algorithm>

#include "kernels/elementwise/elementwise.h"

namespace athanor {

OptimizerStateStore::OptimizerStateStore(const std::vector<UnitSpec>& units,
                                         const PartitionTable& table,
                                         const std::vector<Placements>& placements,
                                         ParamStore& params, const MomentLayout& moments,
                                         const StoreContext& context)
    : units_(units),
      table_(table),
      placements_(placements),
      params_(params),
      context_(context),
      moments_(moments),
      entries_(units.size()) {
  int64_t largest = 0;
  for (int unit = 0; unit < table.num_units(); ++unit) {
    if (table.unit(unit).trainable_elements == 0) continue;
    Entry& entry = entries_[index(unit)];
    entry.has_master = params.dtype() != DType::kF32 || params.on_disk(unit);
    if (on_disk(unit)) {
      entry.region = context.disk->reserve(state_bytes(unit));  // zeros, as moments start
      largest = std::max(largest, state_bytes(unit));
      continue;
    }
    entry.memory = Buffer(context.device, state_bytes(unit));
    for (int i = 0; i < moments.count; ++i) fill_zero(moment(unit, i), context.compute);
  }
  for (WorkingSet& set : working_) {
    if (largest > 0) set.memory = Buffer(context.device, largest);
  }
}

int64_t OptimizerStateStore::master_bytes(int unit) const {
  if (!entries_[index(unit)].has_master) return 0;
  return align_up(owned_range(unit).size() * 4, on_disk(unit) ? kStateAlignment : kAlignment);
}

int64_t OptimizerStateStore::moment_bytes(int unit) const {
  return align_up(moments_.bytes(owned_range(unit).size()),
                  on_disk(unit) ? kStateAlignment : kAlignment);
}

int64_t OptimizerStateStore::state_bytes(int unit) const {
  return master_bytes(unit) + moments_.count * moment_bytes(unit);
}

Range OptimizerStateStore::owned_range(int unit) const {
  if (placements_[index(unit)].optimizer.sharded()) {
    return table_.trainable_range(unit, context_.communicator.rank());
  }
  return {0, table_.unit(unit).trainable_elements};
}

int OptimizerStateStore::find(int unit) const {
  for (size_t i = 0; i < working_.size(); ++i) {
    if (working_[i].unit == unit) return static_cast<int>(i);
  }
  return -1;
}

void OptimizerStateStore::prefetch(int unit) {
  const DiskRegion& region = entries_[index(unit)].region;
  if (!region.defined() || find(unit) >= 0) return;
  WorkingSet& set = working_[index(next_working_)];
  next_working_ = 1 - next_working_;
  set.unit = unit;
  // What wrote this memory to disk came before on the same stream; what computed on it did not.
  context_.disk->stream().wait(context_.compute.record());
  context_.disk->read(set.memory.data(), region, 0, region.bytes, label(unit));
  set.read = context_.disk->stream().record();
}

void OptimizerStateStore::acquire(int unit) {
  if (!entries_[index(unit)].region.defined()) return;
  prefetch(unit);
  context_.compute.wait(working_[index(find(unit))].read);
}

void OptimizerStateStore::release(int unit, bool changed) {
  const DiskRegion& region = entries_[index(unit)].region;
  if (!region.defined()) return;
  WorkingSet& set = working_[index(find(unit))];
  set.unit = -1;
  if (!changed) return;
  context_.disk->stream().wait(context_.compute.record());
  context_.disk->write(set.memory.data(), region, 0, region.bytes, label(unit));
}

Tensor OptimizerStateStore::view(int unit, DType dtype, const Shape& shape, int64_t offset) const {
  const Entry& entry = entries_[index(unit)];
  if (!entry.region.defined()) return entry.memory.view(dtype, shape, offset);
  const int set = find(unit);
  ATHANOR_CHECK(set >= 0, "state on disk used without acquire");
  return working_[index(set)].memory.view(dtype, shape, offset);
}

Tensor OptimizerStateStore::master(int unit) const {
  if (entries_[index(unit)].has_master) {
    return view(unit, DType::kF32, {owned_range(unit).size()}, 0);
  }
  return params_.stored_trainable(unit, owned_range(unit));
}

Tensor OptimizerStateStore::moment(int unit, int i) const {
  return view(unit, moments_.dtype(), moments_.shape(owned_range(unit).size()),
              master_bytes(unit) + i * moment_bytes(unit));
}

Tensor OptimizerStateStore::working(int unit) const {
  if (!entries_[index(unit)].has_master) return {};
  return params_.stored_trainable(unit, owned_range(unit));
}

template <class Read>
void OptimizerStateStore::fill(int unit, const Tensor& target, int64_t block, const Read& read) {
  const Range owned = owned_range(unit);
  fill_zero(target, context_.compute);
  for (size_t i = 0; i < units_[index(unit)].params.size(); ++i) {
    const ParamSpec* param = &units_[index(unit)].params[i];
    if (!param->trainable) continue;
    const ParamPlace& place = table_.unit(unit).params[i];
    const int64_t begin = std::max(owned.begin, place.offset);
    const int64_t end = std::min(owned.end, place.offset + place.numel);
    if (begin >= end) continue;
    const Tensor part =
        target.rows((begin - owned.begin) / block, (end - begin + block - 1) / block);
    void* dst = part.raw();
    const int64_t first = begin - place.offset;
    const int64_t count = end - begin;
    context_.compute.submit(Cost{"load", 0, 0, part.bytes()},
                            [=](ExecContext&) { read(*param, first, count, dst); });
  }
}

void OptimizerStateStore::load(ParamSource* source) {
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    if (!entries_[index(unit)].has_master) continue;
    acquire(unit);
    fill(unit, master(unit), 1,
         [source](const ParamSpec& param, int64_t first, int64_t count, void* dst) {
           source->read(param, first, count, DType::kF32, dst);
         });
    release(unit, true);
  }
  context_.compute.synchronize();
}

void OptimizerStateStore::load_moments(MomentSource& source) {
  MomentSource* from = &source;
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    if (table_.unit(unit).trainable_elements == 0) continue;
    acquire(unit);
    for (int i = 0; i < moments_.count; ++i) {
      fill(unit, moment(unit, i), moments_.block,
           [=, layout = moments_](const ParamSpec& param, int64_t first, int64_t count, void* dst) {
             from->read_moment(param, i, layout, first, count, dst);
           });
    }
    release(unit, true);
  }
  context_.compute.synchronize();
}

}  // namespace athanor

#include "sharding/optimizer_state_store.h"

#include <algorithm>

#include "kernels/elementwise/elementwise.h"

namespace athanor {

OptimizerStateStore::OptimizerStateStore(const std::vector<UnitSpec>& units,
                                         const PartitionTable& table,
                                         const std::vector<Placements>& placements,
                                         ParamStore& params, int moments,
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
    for (int i = 0; i < moments; ++i) fill_zero(moment(unit, i), context.compute);
  }
  for (WorkingSet& set : working_) {
    if (largest > 0) set.memory = Buffer(context.device, largest);
  }
}

int64_t OptimizerStateStore::array_bytes(int unit) const {
  return align_up(owned_range(unit).size() * 4, on_disk(unit) ? kStateAlignment : kAlignment);
}

int64_t OptimizerStateStore::state_bytes(int unit) const {
  return array_bytes(unit) * (moments_ + (entries_[index(unit)].has_master ? 1 : 0));
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

Tensor OptimizerStateStore::array(int unit, int i) const {
  const int64_t offset = i * array_bytes(unit);
  const Shape shape{owned_range(unit).size()};
  const Entry& entry = entries_[index(unit)];
  if (!entry.region.defined()) return entry.memory.view(DType::kF32, shape, offset);
  const int set = find(unit);
  ATHANOR_CHECK(set >= 0, "state on disk used without acquire");
  return working_[index(set)].memory.view(DType::kF32, shape, offset);
}

Tensor OptimizerStateStore::master(int unit) const {
  if (entries_[index(unit)].has_master) return array(unit, 0);
  return params_.stored_trainable(unit, owned_range(unit));
}

Tensor OptimizerStateStore::moment(int unit, int i) const {
  return array(unit, i + (entries_[index(unit)].has_master ? 1 : 0));
}

Tensor OptimizerStateStore::working(int unit) const {
  if (!entries_[index(unit)].has_master) return {};
  return params_.stored_trainable(unit, owned_range(unit));
}

template <class Read>
void OptimizerStateStore::fill(int unit, const Tensor& target, const Read& read) {
  const Range owned = owned_range(unit);
  fill_zero(target, context_.compute);
  for (size_t i = 0; i < units_[index(unit)].params.size(); ++i) {
    const ParamSpec* param = &units_[index(unit)].params[i];
    if (!param->trainable) continue;
    const ParamPlace& place = table_.unit(unit).params[i];
    const int64_t begin = std::max(owned.begin, place.offset);
    const int64_t end = std::min(owned.end, place.offset + place.numel);
    if (begin >= end) continue;
    void* dst = target.rows(begin - owned.begin, end - begin).raw();
    const int64_t first = begin - place.offset;
    const int64_t count = end - begin;
    context_.compute.submit(Cost{"load", 0, 0, count * 4},
                            [=](ExecContext&) { read(*param, first, count, dst); });
  }
}

void OptimizerStateStore::load(ParamSource* source) {
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    if (!entries_[index(unit)].has_master) continue;
    acquire(unit);
    fill(unit, master(unit),
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
    for (int i = 0; i < moments_; ++i) {
      fill(unit, moment(unit, i),
           [=](const ParamSpec& param, int64_t first, int64_t count, void* dst) {
             from->read_moment(param, i, first, count, static_cast<float*>(dst));
           });
    }
    release(unit, true);
  }
  context_.compute.synchronize();
}

}  // namespace athanor

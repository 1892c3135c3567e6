#include "sharding/param_store.h"

#include <algorithm>
#include <utility>

namespace athanor {

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    store_ = std::exchange(other.store_, nullptr);
    unit_ = other.unit_;
    slot_ = other.slot_;
  }
  return *this;
}

void Lease::release() noexcept {
  if (store_ != nullptr) std::exchange(store_, nullptr)->release(unit_, slot_);
}

ConstTensor Lease::tensor(int param) const {
  ATHANOR_CHECK(active(), "a lease was used after it ended");
  return store_->plain(unit_, slot_, param);
}

LinearWeight Lease::weight(int param) const {
  ATHANOR_CHECK(active(), "a lease was used after it ended");
  const ParamSpec& spec = store_->units_[ParamStore::index(unit_)].params[ParamStore::index(param)];
  LinearWeight weight;
  weight.dtype = store_->dtype_;
  weight.out_features = spec.shape[0];
  weight.in_features = spec.shape[1];
  const auto& resident = store_->resident_[ParamStore::index(unit_)];
  if (slot_ < 0 && !spec.trainable && resident.prepared[ParamStore::index(param)]) {
    const int64_t bytes = prepared_weight_bytes(weight.dtype, spec.shape[0], spec.shape[1]);
    weight.prepared =
        resident.frozen.view(DType::kU8, {bytes}, resident.offset[ParamStore::index(param)]);
  } else {
    weight.plain = tensor(param);
  }
  return weight;
}

ParamStore::ParamStore(const std::vector<UnitSpec>& units, const PartitionTable& table,
                       const std::vector<Placements>& placements, DType dtype,
                       const StoreContext& context)
    : units_(units),
      table_(table),
      placements_(placements),
      dtype_(dtype),
      context_(context),
      resident_(units.size()),
      frozen_gathers_(units.size(), 0),
      trainable_gathers_(units.size(), 0) {
  const int world = table.world_size();
  int64_t slot_frozen = 0;
  int64_t slot_trainable = 0;
  for (int unit = 0; unit < table.num_units(); ++unit) {
    const UnitPartition& partition = table.unit(unit);
    Resident& resident = resident_[index(unit)];
    if (sharded(unit)) {
      resident.frozen = Buffer(context.device, partition.frozen_shard_bytes);
      resident.trainable =
          Buffer(context.device, partition.trainable_shard_elements * dtype_size(dtype));
      slot_frozen = std::max(slot_frozen, world * partition.frozen_shard_bytes);
      slot_trainable = std::max(slot_trainable, world * partition.trainable_shard_elements);
    } else {
      plan_resident(unit, resident);
      resident.trainable =
          Buffer(context.device, world * partition.trainable_shard_elements * dtype_size(dtype));
    }
  }
  for (size_t slot = 0; slot < kSlots && slot_frozen + slot_trainable > 0; ++slot) {
    slot_frozen_[slot] = Buffer(context.device, slot_frozen);
    slot_trainable_[slot] = Buffer(context.device, slot_trainable * dtype_size(dtype));
  }
}

void ParamStore::plan_resident(int unit, Resident& resident) {
  int64_t bytes = 0;
  for (const ParamSpec& spec : units_[index(unit)].params) {
    const bool prepared = !spec.trainable && spec.kind == ParamKind::kMatrix;
    resident.prepared.push_back(prepared);
    resident.offset.push_back(bytes);
    if (spec.trainable) continue;
    bytes += align_up(prepared ? prepared_weight_bytes(dtype_, spec.shape[0], spec.shape[1])
                               : spec.shape.numel() * dtype_size(dtype_));
  }
  resident.frozen = Buffer(context_.device, bytes);
}

void ParamStore::load(ParamSource* source) {
  int64_t largest = 0;
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    for (size_t i = 0; i < units_[index(unit)].params.size() && !sharded(unit); ++i) {
      if (resident_[index(unit)].prepared[i]) {
        largest = std::max(largest, units_[index(unit)].params[i].shape.numel());
      }
    }
  }
  Buffer staging;
  if (largest > 0) staging = Buffer(context_.device, largest * dtype_size(dtype_));
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    load_frozen(source, unit, staging);
    load_trainable(source, unit);
  }
  context_.compute.synchronize();
}

void ParamStore::load_frozen(ParamSource* source, int unit, const Buffer& staging) {
  const UnitSpec& spec = units_[index(unit)];
  Resident& resident = resident_[index(unit)];
  const Range kept =
      table_.frozen_range(unit, table_.world_size() == 1 ? 0 : context_.communicator.rank());
  for (size_t i = 0; i < spec.params.size(); ++i) {
    const ParamSpec* param = &spec.params[i];
    if (param->trainable) continue;
    const DType dtype = dtype_;
    const auto read = [&](int64_t begin, int64_t count, void* dst) {
      context_.compute.submit(Cost{"load", 0, 0, count * dtype_size(dtype)}, [=](ExecContext&) {
        source->read(*param, begin, count, dtype, dst);
      });
    };
    if (sharded(unit)) {
      const ParamPlace& place = table_.unit(unit).params[i];
      const int64_t size = dtype_size(dtype_);
      const int64_t begin = std::max(kept.begin, place.offset);
      const int64_t end = std::min(kept.end, place.offset + place.numel * size);
      if (begin < end) {
        read((begin - place.offset) / size, (end - begin) / size,
             resident.frozen.data() + (begin - kept.begin));
      }
    } else if (resident.prepared[i]) {
      read(0, param->shape.numel(), staging.data());
      const int64_t bytes = prepared_weight_bytes(dtype_, param->shape[0], param->shape[1]);
      prepare_weight(resident.frozen.view(DType::kU8, {bytes}, resident.offset[i]),
                     staging.view(dtype_, param->shape), context_.compute);
    } else {
      read(0, param->shape.numel(), resident.frozen.data() + resident.offset[i]);
    }
  }
}

void ParamStore::load_trainable(ParamSource* source, int unit) {
  const UnitSpec& spec = units_[index(unit)];
  const Range kept = stored_range(unit);
  const int64_t size = dtype_size(dtype_);
  for (size_t i = 0; i < spec.params.size(); ++i) {
    const ParamSpec* param = &spec.params[i];
    if (!param->trainable) continue;
    const ParamPlace& place = table_.unit(unit).params[i];
    const int64_t begin = std::max(kept.begin, place.offset);
    const int64_t end = std::min(kept.end, place.offset + place.numel);
    if (begin >= end) continue;
    std::byte* dst = resident_[index(unit)].trainable.data() + (begin - kept.begin) * size;
    const int64_t first = begin - place.offset;
    const int64_t count = end - begin;
    const DType dtype = dtype_;
    context_.compute.submit(Cost{"load", 0, 0, count * size},
                            [=](ExecContext&) { source->read(*param, first, count, dtype, dst); });
  }
}

Range ParamStore::stored_range(int unit) const {
  if (sharded(unit)) return table_.trainable_range(unit, context_.communicator.rank());
  return {0, table_.unit(unit).trainable_elements};
}

Tensor ParamStore::stored_trainable(int unit) const {
  const Resident& resident = resident_[index(unit)];
  return resident.trainable.view(dtype_, {stored_range(unit).size()});
}

Tensor ParamStore::stored_trainable(int unit, Range range) const {
  const Range kept = stored_range(unit);
  return stored_trainable(unit).rows(range.begin - kept.begin, range.size());
}

void ParamStore::publish(int unit, bool gather_updated) {
  Resident& resident = resident_[index(unit)];
  ++resident.version;
  if (!gather_updated || sharded(unit)) return;
  const int64_t block = table_.unit(unit).trainable_shard_elements * dtype_size(dtype_);
  context_.communication.wait(context_.compute.record());
  context_.communicator.all_gather(resident.trainable.data(),
                                   resident.trainable.data() + context_.communicator.rank() * block,
                                   block, context_.communication);
  resident.updated = context_.communication.record();
}

int ParamStore::find_slot(int unit) {
  for (int slot = 0; slot < kSlots; ++slot) {
    if (slots_[index(slot)].frozen_unit == unit) return slot;
  }
  int best = -1;
  for (int slot = 0; slot < kSlots; ++slot) {
    if (slots_[index(slot)].leases > 0) continue;
    if (best < 0 || slots_[index(slot)].last_use < slots_[index(best)].last_use) best = slot;
  }
  return best;
}

// Makes sure that a slot holds the unit's present content, or that it is on its way.
int ParamStore::gather(int unit) {
  const int chosen = find_slot(unit);
  if (chosen < 0) return chosen;
  Slot& slot = slots_[index(chosen)];
  Resident& resident = resident_[index(unit)];
  const UnitPartition& partition = table_.unit(unit);
  const bool need_frozen = slot.frozen_unit != unit;
  const bool need_trainable = partition.trainable_elements > 0 &&
                              (slot.trainable_unit != unit || slot.version != resident.version);
  if (!need_frozen && !need_trainable) return chosen;
  context_.communication.wait(slot.released);
  if (need_frozen) {
    // A unit without frozen bytes is remembered here all the same.
    slot.frozen_unit = unit;
    if (partition.frozen_shard_bytes > 0) ++frozen_gathers_[index(unit)];
    context_.communicator.all_gather(slot_frozen_[index(chosen)].data(), resident.frozen.data(),
                                     partition.frozen_shard_bytes, context_.communication);
    slot.trainable_unit = -1;
  }
  if (need_trainable) {
    context_.communication.wait(context_.compute.record());  // the update of the shard
    ++trainable_gathers_[index(unit)];
    context_.communicator.all_gather(
        slot_trainable_[index(chosen)].data(), resident.trainable.data(),
        partition.trainable_shard_elements * dtype_size(dtype_), context_.communication);
    slot.trainable_unit = unit;
    slot.version = resident.version;
  }
  slot.gathered = context_.communication.record();
  return chosen;
}

void ParamStore::prefetch(int unit) {
  if (sharded(unit)) gather(unit);
}

Lease ParamStore::acquire(int unit) {
  if (!sharded(unit)) {
    context_.compute.wait(resident_[index(unit)].updated);
    return Lease(this, unit, -1);
  }
  const int chosen = gather(unit);
  ATHANOR_CHECK(chosen >= 0, "more leases than parameter slots");
  Slot& slot = slots_[index(chosen)];
  context_.compute.wait(slot.gathered);
  ++slot.leases;
  slot.last_use = ++clock_;
  return Lease(this, unit, chosen);
}

void ParamStore::release(int, int slot_index) noexcept {
  if (slot_index < 0) return;
  Slot& slot = slots_[index(slot_index)];
  --slot.leases;
  slot.released = context_.compute.record();
}

ConstTensor ParamStore::plain(int unit, int slot, int param) const {
  const ParamSpec& spec = units_[index(unit)].params[index(param)];
  const ParamPlace& place = table_.unit(unit).params[index(param)];
  const Resident& resident = resident_[index(unit)];
  if (spec.trainable) {
    const Buffer& part = slot < 0 ? resident.trainable : slot_trainable_[index(slot)];
    return part.view(dtype_, spec.shape, place.offset * dtype_size(dtype_));
  }
  if (slot >= 0) return slot_frozen_[index(slot)].view(dtype_, spec.shape, place.offset);
  ATHANOR_CHECK(!resident.prepared[index(param)], spec.name + " is kept in prepared form only");
  return resident.frozen.view(dtype_, spec.shape, resident.offset[index(param)]);
}

}  // namespace athanor

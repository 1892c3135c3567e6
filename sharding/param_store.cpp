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
  const int64_t size = dtype_size(dtype);
  int64_t slot_frozen = 0;
  int64_t slot_trainable = 0;
  int64_t staging = 0;
  for (int unit = 0; unit < table.num_units(); ++unit) {
    const UnitPartition& partition = table.unit(unit);
    Resident& resident = resident_[index(unit)];
    const int64_t whole = world * partition.trainable_shard_elements;
    if (!slotted(unit)) {
      plan_resident(unit, resident);
      resident.trainable = Buffer(context.device, whole * size);
      continue;
    }
    plan_slotted(unit, resident);
    slot_frozen = std::max(slot_frozen, world * partition.frozen_shard_bytes);
    slot_trainable = std::max(slot_trainable, whole);
    if (on_disk(unit)) {
      staging = std::max(staging, sharded(unit) ? partition.trainable_shard_elements : whole);
    }
  }
  for (size_t slot = 0; slot < kSlots && slot_frozen + slot_trainable > 0; ++slot) {
    slot_frozen_[slot] = Buffer(context.device, slot_frozen);
    slot_trainable_[slot] = Buffer(context.device, slot_trainable * size);
  }
  for (size_t i = 0; i < staging_.size() && staging > 0; ++i) {
    staging_[i] = Buffer(context.device, staging * size);
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

void ParamStore::plan_slotted(int unit, Resident& resident) {
  const UnitPartition& partition = table_.unit(unit);
  if (on_disk(unit)) {
    resident.disk_trainable =
        context_.disk->reserve(stored_range(unit).size() * dtype_size(dtype_));
  } else {
    resident.frozen = Buffer(context_.device, partition.frozen_shard_bytes);
    resident.trainable =
        Buffer(context_.device, partition.trainable_shard_elements * dtype_size(dtype_));
  }
}

// Bytes of the frozen part that this rank stores where the unit is slotted.
Range ParamStore::stored_frozen(int unit) const {
  if (sharded(unit)) return table_.frozen_range(unit, context_.communicator.rank());
  return {0, table_.unit(unit).frozen_bytes};
}

Range ParamStore::stored_range(int unit) const {
  if (sharded(unit)) return table_.trainable_range(unit, context_.communicator.rank());
  return {0, table_.unit(unit).trainable_elements};
}

Tensor ParamStore::stored_trainable(int unit) const {
  const Buffer& memory =
      on_disk(unit) ? staging_[current_staging_] : resident_[index(unit)].trainable;
  return memory.view(dtype_, {stored_range(unit).size()});
}

Tensor ParamStore::stored_trainable(int unit, Range range) const {
  const Range kept = stored_range(unit);
  return stored_trainable(unit).rows(range.begin - kept.begin, range.size());
}

void ParamStore::begin_update(int unit) {
  if (!on_disk(unit)) return;
  current_staging_ = 1 - current_staging_;
  context_.compute.wait(staging_free_[current_staging_]);
}

void ParamStore::publish(int unit, bool gather_updated) {
  Resident& resident = resident_[index(unit)];
  const Buffer& memory = on_disk(unit) ? staging_[current_staging_] : resident.trainable;
  Event complete = context_.compute.record();
  ++resident.version;
  if (gather_updated && !sharded(unit)) {
    const int64_t block = table_.unit(unit).trainable_shard_elements * dtype_size(dtype_);
    context_.communication.wait(complete);
    context_.communicator.all_gather(memory.data(),
                                     memory.data() + context_.communicator.rank() * block, block,
                                     context_.communication);
    resident.updated = complete = context_.communication.record();
  }
  if (!on_disk(unit)) return;
  context_.disk->stream().wait(complete);
  context_.disk->write(memory.data(), resident.disk_trainable, 0, resident.disk_trainable.bytes,
                       label(unit));
  staging_free_[current_staging_] = context_.disk->stream().record();
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
  const bool need_frozen = slot.frozen_unit != unit;
  const bool need_trainable =
      table_.unit(unit).trainable_elements > 0 &&
      (slot.trainable_unit != unit || slot.version != resident_[index(unit)].version);
  if (!need_frozen && !need_trainable) return chosen;
  // Before the slot is written: its last lease is over, and so is what was on its way into it.
  if (sharded(unit)) {
    context_.communication.wait(slot.released);
    context_.communication.wait(slot.gathered);
  }
  if (on_disk(unit)) {
    context_.disk->stream().wait(slot.released);
    context_.disk->stream().wait(slot.gathered);
  }
  if (need_frozen) gather_frozen(unit, chosen);
  if (need_trainable) gather_trainable(unit, chosen);
  slot.gathered =
      sharded(unit) ? context_.communication.record() : context_.disk->stream().record();
  return chosen;
}

void ParamStore::gather_frozen(int unit, int chosen) {
  Slot& slot = slots_[index(chosen)];
  const Resident& resident = resident_[index(unit)];
  const int64_t shard = table_.unit(unit).frozen_shard_bytes;
  slot.frozen_unit = unit;  // also of a unit without frozen bytes
  slot.trainable_unit = -1;
  if (shard == 0) return;
  ++frozen_gathers_[index(unit)];
  std::byte* whole = slot_frozen_[index(chosen)].data();
  const std::byte* own = resident.frozen.data();
  if (on_disk(unit)) {
    std::byte* landing = landing_of(unit, whole, shard);
    for (const InPlace& part : resident.in_place) {
      context_.disk->read_in_place(landing + part.offset, part.extent, label(unit));
    }
    context_.disk->read(landing, resident.disk_frozen, 0, resident.disk_frozen.bytes, label(unit));
    own = landing;
  }
  complete(unit, whole, own, shard);
}

void ParamStore::gather_trainable(int unit, int chosen) {
  Slot& slot = slots_[index(chosen)];
  const Resident& resident = resident_[index(unit)];
  const int64_t shard = table_.unit(unit).trainable_shard_elements * dtype_size(dtype_);
  slot.trainable_unit = unit;
  slot.version = resident.version;
  ++trainable_gathers_[index(unit)];
  std::byte* whole = slot_trainable_[index(chosen)].data();
  const std::byte* own = resident.trainable.data();
  if (sharded(unit)) context_.communication.wait(context_.compute.record());  // the shard's update
  if (on_disk(unit)) {
    std::byte* landing = landing_of(unit, whole, shard);
    context_.disk->read(landing, resident.disk_trainable, 0, resident.disk_trainable.bytes,
                        label(unit));
    own = landing;
  }
  complete(unit, whole, own, shard);
}

// Where this rank's part arrives from disk.
std::byte* ParamStore::landing_of(int unit, std::byte* whole, int64_t shard) const {
  return sharded(unit) ? whole + context_.communicator.rank() * shard : whole;
}

// The other ranks' parts, of a sharded unit.
void ParamStore::complete(int unit, std::byte* whole, const std::byte* own, int64_t shard) {
  if (!sharded(unit)) return;
  if (on_disk(unit)) context_.communication.wait(context_.disk->stream().record());
  context_.communicator.all_gather(whole, own, shard, context_.communication);
}

void ParamStore::prefetch(int unit) {
  if (slotted(unit)) gather(unit);
}

Lease ParamStore::acquire(int unit) {
  if (!slotted(unit)) {
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

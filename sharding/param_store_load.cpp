// ParamStore's first content: what this rank keeps is read from the source, in the form in which it
// is kept, and nothing else.
#include <algorithm>

#include "sharding/param_store.h"

namespace athanor {

void ParamStore::place_on_disk(ParamSource* source, bool assume_in_place) {
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    const int64_t bytes = stored_frozen(unit).size();
    if (!on_disk(unit) || bytes == 0) continue;
    Resident& resident = resident_[index(unit)];
    if (source != nullptr || assume_in_place) resident.in_place = find_in_place(source, unit);
    if (resident.in_place.empty()) {
      resident.disk_frozen = context_.disk->reserve(bytes);
    } else {
      for (const InPlace& part : resident.in_place) {
        context_.disk->expect_file(part.extent.path);
      }
    }
  }
}

// Where files hold the unit's stored frozen bytes; empty when any of them needs a cast. Without a
// source: as many extents of the same sizes, of no file.
std::vector<ParamStore::InPlace> ParamStore::find_in_place(ParamSource* source, int unit) const {
  const Range kept = stored_frozen(unit);
  const int64_t size = dtype_size(dtype_);
  std::vector<InPlace> found;
  const std::vector<ParamSpec>& params = units_[index(unit)].params;
  for (size_t i = 0; i < params.size(); ++i) {
    if (params[i].trainable) continue;
    const ParamPlace& place = table_.unit(unit).params[i];
    const int64_t begin = std::max(kept.begin, place.offset);
    const int64_t end = std::min(kept.end, place.offset + place.numel * size);
    if (begin >= end) continue;
    FileExtent extent{"", 0, end - begin};
    if (source != nullptr) {
      const auto known =
          source->extent(params[i], (begin - place.offset) / size, (end - begin) / size, dtype_);
      if (!known) return {};
      extent = *known;
    }
    found.push_back({begin - kept.begin, extent});
  }
  return found;
}

void ParamStore::load(ParamSource* source) {
  int64_t largest = 0;
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    for (size_t i = 0; i < units_[index(unit)].params.size() && !slotted(unit); ++i) {
      if (resident_[index(unit)].prepared[i]) {
        largest = std::max(largest, units_[index(unit)].params[i].shape.numel());
      }
    }
  }
  Buffer staging;
  if (largest > 0) staging = Buffer(context_.device, largest * dtype_size(dtype_));
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    if (slotted(unit)) {
      load_slotted(source, unit);
    } else {
      load_resident(source, unit, staging);
    }
    load_trainable(source, unit);
  }
  context_.compute.synchronize();
}

void ParamStore::read(ParamSource* source, const ParamSpec* param, int64_t begin, int64_t count,
                      void* dst) {
  const DType dtype = dtype_;
  context_.compute.submit(Cost{"load", 0, 0, count * dtype_size(dtype)},
                          [=](ExecContext&) { source->read(*param, begin, count, dtype, dst); });
}

// Loaded values go to disk from the memory of the first slot, which waits for the transfer.
void ParamStore::write_loaded(const std::byte* from, const DiskRegion& to, int unit) {
  context_.disk->stream().wait(context_.compute.record());
  context_.disk->write(from, to, 0, to.bytes, label(unit));
  context_.compute.wait(context_.disk->stream().record());
}

// The frozen part of a unit that comes and goes through slots: its range of the flat bytes.
void ParamStore::load_slotted(ParamSource* source, int unit) {
  Resident& resident = resident_[index(unit)];
  if (!resident.in_place.empty()) return;
  const Range kept = stored_frozen(unit);
  const int64_t size = dtype_size(dtype_);
  std::byte* memory = on_disk(unit) ? slot_frozen_[0].data() : resident.frozen.data();
  const std::vector<ParamSpec>& params = units_[index(unit)].params;
  for (size_t i = 0; i < params.size(); ++i) {
    if (params[i].trainable) continue;
    const ParamPlace& place = table_.unit(unit).params[i];
    const int64_t begin = std::max(kept.begin, place.offset);
    const int64_t end = std::min(kept.end, place.offset + place.numel * size);
    if (begin >= end) continue;
    read(source, &params[i], (begin - place.offset) / size, (end - begin) / size,
         memory + (begin - kept.begin));
  }
  if (on_disk(unit)) write_loaded(memory, resident.disk_frozen, unit);
}

void ParamStore::load_resident(ParamSource* source, int unit, const Buffer& staging) {
  Resident& resident = resident_[index(unit)];
  const std::vector<ParamSpec>& params = units_[index(unit)].params;
  for (size_t i = 0; i < params.size(); ++i) {
    if (params[i].trainable) continue;
    const Shape& shape = params[i].shape;
    if (!resident.prepared[i]) {
      read(source, &params[i], 0, shape.numel(), resident.frozen.data() + resident.offset[i]);
      continue;
    }
    read(source, &params[i], 0, shape.numel(), staging.data());
    const int64_t bytes = prepared_weight_bytes(dtype_, shape[0], shape[1]);
    prepare_weight(resident.frozen.view(DType::kU8, {bytes}, resident.offset[i]),
                   staging.view(dtype_, shape), context_.compute);
  }
}

void ParamStore::load_trainable(ParamSource* source, int unit) {
  Resident& resident = resident_[index(unit)];
  const Range kept = stored_range(unit);
  const int64_t size = dtype_size(dtype_);
  std::byte* memory = on_disk(unit) ? slot_trainable_[0].data() : resident.trainable.data();
  const std::vector<ParamSpec>& params = units_[index(unit)].params;
  for (size_t i = 0; i < params.size(); ++i) {
    if (!params[i].trainable) continue;
    const ParamPlace& place = table_.unit(unit).params[i];
    const int64_t begin = std::max(kept.begin, place.offset);
    const int64_t end = std::min(kept.end, place.offset + place.numel);
    if (begin >= end) continue;
    read(source, &params[i], begin - place.offset, end - begin,
         memory + (begin - kept.begin) * size);
  }
  if (on_disk(unit) && kept.size() > 0) write_loaded(memory, resident.disk_trainable, unit);
}

}  // namespace athanor

// ParamStore: where parameters are, and how a unit gets them for a visit.
//
// A replicated unit in memory is resident: frozen matrices in prepared form only, everything else
// plain. A sharded unit keeps this rank's shard, a unit on disk its region there (or, frozen and
// stored as needed, nothing but its place in the model's files); both are gathered into one of two
// slots. A slot remembers which unit it holds, so that frozen bytes still there are not gathered
// again, and trained ones only after they changed. prefetch() starts the gather of the next unit
// while the present one computes.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "core/stream.h"
#include "kernels/matmul/matmul.h"
#include "sharding/comm/communicator.h"
#include "sharding/param_spec.h"
#include "sharding/partition_table.h"
#include "sharding/tier/disk_tier.h"
#include "sharding/zero_policy.h"

namespace athanor {

class ParamStore;

// What a rank's stores need from their surroundings; all outlive the stores.
struct StoreContext {
  Allocator& device;
  Stream& compute;
  Stream& communication;
  Communicator& communicator;
  Stream* storage = nullptr;  // transfers from and to disk; needed where a placement says disk
  DiskTier* disk = nullptr;   // on that stream
};

// Read access to one unit's parameters until it is destroyed.
class Lease {
 public:
  Lease() = default;
  Lease(ParamStore* store, int unit, int slot) : store_(store), unit_(unit), slot_(slot) {}
  ~Lease() { release(); }
  Lease(Lease&& other) noexcept { *this = static_cast<Lease&&>(other); }
  Lease& operator=(Lease&& other) noexcept;

  bool active() const { return store_ != nullptr; }
  int unit() const { return unit_; }
  // A vector or a plain matrix.
  ConstTensor tensor(int param) const;
  LinearWeight weight(int param) const;
  void release() noexcept;

 private:
  ParamStore* store_ = nullptr;
  int unit_ = 0;
  int slot_ = -1;
};

class ParamStore {
 public:
  static constexpr int kSlots = 2;

  // All references outlive the store.
  ParamStore(const std::vector<UnitSpec>& units, const PartitionTable& table,
             const std::vector<Placements>& placements, DType dtype, const StoreContext& context);

  // Decides which frozen units are read from the model's own files and reserves regions for the
  // others. Without a source, in a plan, `assume_in_place` says it.
  void place_on_disk(ParamSource* source, bool assume_in_place);
  // Reads what this rank keeps, and nothing else. The disk is open. In a plan `source` may be null:
  // nothing is read there.
  void load(ParamSource* source);

  void prefetch(int unit);
  Lease acquire(int unit);

  // Before an update of a unit on disk: takes the memory in which its new values are made.
  void begin_update(int unit);
  // The range of the trainable part that this rank stores, in elements, and its memory in working
  // dtype: the whole (padded) part of a replicated unit, the shard of a sharded one. On disk: the
  // memory that begin_update took, for writing only.
  Range stored_range(int unit) const;
  Tensor stored_trainable(int unit) const;
  // The part of it that `range` (absolute elements) covers.
  Tensor stored_trainable(int unit, Range range) const;

  // After an update of `stored_range` (replicated) or the shard: gather_updated distributes every
  // rank's own range to the others where the parameters are replicated but were updated in shards;
  // in all cases gathered copies become stale.
  void publish(int unit, bool gather_updated);

  bool sharded(int unit) const { return placements_[index(unit)].parameters.sharded(); }
  bool on_disk(int unit) const { return placements_[index(unit)].parameters.on_disk(); }
  // Comes and goes through a slot.
  bool slotted(int unit) const { return sharded(unit) || on_disk(unit); }
  DType dtype() const { return dtype_; }
  // Gathers so far of frozen and of trainable parts.
  const std::vector<int64_t>& frozen_gathers() const { return frozen_gathers_; }
  const std::vector<int64_t>& trainable_gathers() const { return trainable_gathers_; }

 private:
  friend class Lease;
  struct InPlace {
    int64_t offset = 0;  // in the stored frozen bytes
    FileExtent extent;
  };
  struct Resident {
    Buffer frozen;           // replicated: stored forms; sharded: shard bytes
    Buffer trainable;        // replicated: padded part; sharded: shard
    DiskRegion disk_frozen;  // on disk, the same
    DiskRegion disk_trainable;
    std::vector<InPlace> in_place;  // instead of disk_frozen
    std::vector<int64_t> offset;    // replicated: bytes of each frozen parameter's stored form
    std::vector<bool> prepared;
    uint64_t version = 0;  // of the trainable part
    Event updated;         // communication that publishes it
  };
  struct Slot {
    int frozen_unit = -1;
    int trainable_unit = -1;
    uint64_t version = 0;
    int leases = 0;
    uint64_t last_use = 0;
    Event gathered;
    Event released;
  };

  static size_t index(int unit) { return static_cast<size_t>(unit); }
  void plan_resident(int unit, Resident& resident);
  void plan_slotted(int unit, Resident& resident);
  Range stored_frozen(int unit) const;
  std::vector<InPlace> find_in_place(ParamSource* source, int unit) const;
  void read(ParamSource* source, const ParamSpec* param, int64_t begin, int64_t count, void* dst);
  DiskLabel label(int unit) const { return {"parameters", units_[index(unit)].name.c_str()}; }
  void write_loaded(const std::byte* from, const DiskRegion& to, int unit);
  void gather_frozen(int unit, int slot);
  void gather_trainable(int unit, int slot);
  std::byte* landing_of(int unit, std::byte* whole, int64_t shard) const;
  void complete(int unit, std::byte* whole, const std::byte* own, int64_t shard);
  void load_slotted(ParamSource* source, int unit);
  void load_resident(ParamSource* source, int unit, const Buffer& staging);
  void load_trainable(ParamSource* source, int unit);
  int find_slot(int unit);
  int gather(int unit);
  void release(int unit, int slot) noexcept;
  ConstTensor plain(int unit, int slot, int param) const;

  const std::vector<UnitSpec>& units_;
  const PartitionTable& table_;
  std::vector<Placements> placements_;
  DType dtype_;
  StoreContext context_;
  std::vector<Resident> resident_;
  std::array<Slot, kSlots> slots_;
  std::array<Buffer, kSlots> slot_frozen_;
  std::array<Buffer, kSlots> slot_trainable_;
  std::array<Buffer, 2> staging_;  // updated values on their way to disk
  std::array<Event, 2> staging_free_;
  size_t current_staging_ = 0;
  uint64_t clock_ = 0;
  std::vector<int64_t> frozen_gathers_;
  std::vector<int64_t> trainable_gathers_;
};

}  // namespace athanor

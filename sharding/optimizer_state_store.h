// OptimizerStateStore: moments and float32 masters of the trained parameters that this rank
// updates. In float32 a parameter in memory is its own master: a view, no copy. State on disk comes
// through two working sets: prefetch() starts the next unit's while the present one is updated.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "sharding/moment_layout.h"
#include "sharding/param_store.h"
#include "sharding/partition_table.h"

namespace athanor {

// Moments that were saved.
class MomentSource {
 public:
  virtual ~MomentSource() = default;
  // Elements [begin, begin + count) of moment `index` of a parameter, as `layout` keeps them; begin
  // is the start of a block.
  virtual void read_moment(const ParamSpec& param, int index, const MomentLayout& layout,
                           int64_t begin, int64_t count, void* dst) = 0;
};

class OptimizerStateStore {
 public:
  OptimizerStateStore(const std::vector<UnitSpec>& units, const PartitionTable& table,
                      const std::vector<Placements>& placements, ParamStore& params,
                      const MomentLayout& moments, const StoreContext& context);

  // Masters start as the source's values in float32, which a bfloat16 working copy has lost.
  void load(ParamSource* source);
  // Moments start as zeros; this makes them what was saved. After load.
  void load_moments(MomentSource& source);

  // Around every use of a unit's state, one unit at a time; they only move state that is on disk.
  void prefetch(int unit);
  void acquire(int unit);
  void release(int unit, bool changed);

  const MomentLayout& moments() const { return moments_; }
  // Elements of the unit's trainable part that this rank updates.
  Range owned_range(int unit) const;
  // [owned] f32
  Tensor master(int unit) const;
  // MomentLayout::shape(owned)
  Tensor moment(int unit, int index) const;
  // [owned] working dtype, for writing; undefined when the master is the parameter itself.
  Tensor working(int unit) const;

 private:
  struct Entry {
    bool has_master = false;  // of its own
    Buffer memory;            // master, if any, and moments, kStateAlignment apart
    DiskRegion region;        // the same on disk
  };
  struct WorkingSet {
    Buffer memory;
    int unit = -1;
    Event read;
  };
  static constexpr int64_t kStateAlignment = DiskTier::kDiskBlock;
  static size_t index(int i) { return static_cast<size_t>(i); }
  bool on_disk(int unit) const { return placements_[index(unit)].optimizer.on_disk(); }
  DiskLabel label(int unit) const { return {"optimizer state", units_[index(unit)].name.c_str()}; }
  int64_t master_bytes(int unit) const;  // 0 where the unit has no master of its own
  int64_t moment_bytes(int unit) const;
  int64_t state_bytes(int unit) const;
  Tensor view(int unit, DType dtype, const Shape& shape, int64_t offset) const;
  int find(int unit) const;
  // read(param, first element, count, memory) for every parameter that `owned` covers; a row of the
  // target is `block` elements.
  template <class Read>
  void fill(int unit, const Tensor& target, int64_t block, const Read& read);

  const std::vector<UnitSpec>& units_;
  const PartitionTable& table_;
  std::vector<Placements> placements_;
  ParamStore& params_;
  StoreContext context_;
  MomentLayout moments_;
  std::vector<Entry> entries_;
  std::array<WorkingSet, 2> working_;
  int next_working_ = 0;
};

}  // namespace athanor

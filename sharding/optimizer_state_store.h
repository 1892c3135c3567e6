// OptimizerStateStore: moments and float32 masters of the trained parameters that this rank
// updates. In float32 the parameter itself is the master: a view, no copy.
#pragma once

#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "sharding/param_store.h"
#include "sharding/partition_table.h"

namespace athanor {

class OptimizerStateStore {
 public:
  // `moments`: float32 arrays per trained element besides the master (AdamW 2, SGD 0).
  OptimizerStateStore(const std::vector<UnitSpec>& units, const PartitionTable& table,
                      const std::vector<Placements>& placements, ParamStore& params, int moments,
                      const StoreContext& context);

  // Masters start as the source's values in float32, which a bfloat16 working copy has lost.
  void load(ParamSource* source);

  // Elements of the unit's trainable part that this rank updates.
  Range owned_range(int unit) const;
  // [owned] f32 each
  Tensor master(int unit) const;
  Tensor moment(int unit, int index) const;
  // [owned] working dtype; undefined when the master is the parameter itself.
  Tensor working(int unit) const;

 private:
  struct Entry {
    Buffer master;
    std::vector<Buffer> moments;
  };
  static size_t index(int i) { return static_cast<size_t>(i); }

  const std::vector<UnitSpec>& units_;
  const PartitionTable& table_;
  std::vector<Placements> placements_;
  ParamStore& params_;
  StoreContext context_;
  std::vector<Entry> entries_;
};

}  // namespace athanor

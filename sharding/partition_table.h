// PartitionTable: which rank owns which range of each unit. Pure arithmetic for any shape and
// world.
//
// A unit has two flat parts. Frozen parameters lie in a part measured in bytes, each at a multiple
// of 256; it is cut at multiples of 256. Trainable parameters lie in a part measured in elements,
// each at a multiple of 128; it is cut at multiples of 1,024 (kSumBlock), so that block sums never
// cross ranks. All shards of a part have the same size; the last ones may be partly or wholly
// padding.
#pragma once

#include <cstdint>
#include <vector>

#include "core/dtype.h"
#include "sharding/param_spec.h"

namespace athanor {

struct ParamPlace {
  bool trainable = false;
  int64_t offset = 0;  // into its part: elements (trainable) or bytes (frozen)
  int64_t numel = 0;
};

struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

struct UnitPartition {
  std::vector<ParamPlace> params;  // in the order of the UnitSpec
  int64_t frozen_bytes = 0;        // of the part, without the padding of the last shard
  int64_t frozen_shard_bytes = 0;  // the same on every rank
  int64_t trainable_elements = 0;  // a multiple of 1,024
  int64_t trainable_shard_elements = 0;
  int64_t parameters = 0;  // elements of all parameters, without padding
};

class PartitionTable {
 public:
  PartitionTable(const std::vector<UnitSpec>& units, DType dtype, int world_size);

  int world_size() const { return world_size_; }
  int num_units() const { return static_cast<int>(units_.size()); }
  const UnitPartition& unit(int index) const { return units_[static_cast<size_t>(index)]; }
  // What `rank` owns, clipped to the part: may be shorter than the shard, or empty.
  Range frozen_range(int unit, int rank) const;     // bytes
  Range trainable_range(int unit, int rank) const;  // elements

 private:
  int world_size_;
  std::vector<UnitPartition> units_;
};

}  // namespace athanor

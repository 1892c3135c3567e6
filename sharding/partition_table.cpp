#include "sharding/partition_table.h"

#include <algorithm>

#include "core/buffer.h"
#include "core/pairwise.h"

namespace athanor {
namespace {

constexpr int64_t kParamAlignment = 128;  // elements: 256 bytes of the smallest working dtype

Range clipped(int64_t shard, int rank, int64_t total) {
  const int64_t begin = std::min(shard * rank, total);
  return {begin, std::min(begin + shard, total)};
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

PartitionTable::PartitionTable(const std::vector<UnitSpec>& units, DType dtype, int world_size)
    : world_size_(world_size) {
  ATHANOR_CHECK(world_size >= 1, "world size " + std::to_string(world_size));
  for (const UnitSpec& spec : units) {
    UnitPartition partition;
    for (const ParamSpec& param : spec.params) {
      ParamPlace place{param.trainable, 0, param.shape.numel()};
      partition.parameters += place.numel;
      if (param.trainable) {
        place.offset = align_up(partition.trainable_elements, kParamAlignment);
        partition.trainable_elements = place.offset + place.numel;
      } else {
        place.offset = align_up(partition.frozen_bytes);
        partition.frozen_bytes = place.offset + place.numel * dtype_size(dtype);
      }
      partition.params.push_back(place);
    }
    partition.frozen_bytes = align_up(partition.frozen_bytes);
    partition.trainable_elements = align_up(partition.trainable_elements, kSumBlock);
    partition.frozen_shard_bytes = align_up(ceil_div(partition.frozen_bytes, world_size));
    partition.trainable_shard_elements =
        ceil_div(partition.trainable_elements / kSumBlock, world_size) * kSumBlock;
    units_.push_back(std::move(partition));
  }
}

Range PartitionTable::frozen_range(int unit_index, int rank) const {
  const UnitPartition& partition = unit(unit_index);
  return clipped(partition.frozen_shard_bytes, rank, partition.frozen_bytes);
}

Range PartitionTable::trainable_range(int unit_index, int rank) const {
  const UnitPartition& partition = unit(unit_index);
  return clipped(partition.trainable_shard_elements, rank, partition.trainable_elements);
}

}  // namespace athanor

#include "sharding/partition_table.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "core/buffer.h"
#include "core/pairwise.h"

namespace athanor {
namespace {

// A few units of random shapes, from a single element to some blocks; some units have only one
// part.
std::vector<UnitSpec> random_units(std::mt19937& random) {
  const auto draw = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  std::vector<UnitSpec> units(static_cast<size_t>(draw(1, 4)));
  for (UnitSpec& unit : units) {
    const int64_t trained = draw(0, 2);  // none, some, all
    for (int64_t i = draw(1, 6); i > 0; --i) {
      ParamSpec param;
      param.name = std::to_string(i);
      param.shape = draw(0, 1) == 0 ? Shape{draw(1, 3000)} : Shape{draw(1, 90), draw(1, 90)};
      param.trainable = trained == 2 || (trained == 1 && draw(0, 1) == 0);
      unit.params.push_back(param);
    }
  }
  return units;
}

template <class Body>
void for_random_tables(const Body& body) {
  std::mt19937 random(20240601);
  for (int round = 0; round < 40; ++round) {
    const std::vector<UnitSpec> units = random_units(random);
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (int world = 1; world <= 9; ++world) {
        const PartitionTable table(units, dtype, world);
        for (int unit = 0; unit < table.num_units(); ++unit) body(units, table, unit, dtype);
      }
    }
  }
}

TEST(PartitionTable, OwnsEveryElementOnce) {
  for_random_tables([](const auto&, const PartitionTable& table, int unit, DType) {
    const UnitPartition& partition = table.unit(unit);
    int64_t byte = 0;
    int64_t element = 0;
    for (int rank = 0; rank < table.world_size(); ++rank) {
      // Ranges follow one another without a gap or an overlap, from 0 to the part's end.
      ASSERT_EQ(table.frozen_range(unit, rank).begin, byte);
      ASSERT_EQ(table.trainable_range(unit, rank).begin, element);
      byte = table.frozen_range(unit, rank).end;
      element = table.trainable_range(unit, rank).end;
      ASSERT_GE(table.frozen_range(unit, rank).size(), 0);
      ASSERT_GE(table.trainable_range(unit, rank).size(), 0);
    }
    ASSERT_EQ(byte, partition.frozen_bytes);
    ASSERT_EQ(element, partition.trainable_elements);
  });
}

TEST(PartitionTable, CutsAtBlocksOf1024ElementsAnd256Bytes) {
  for_random_tables([](const auto&, const PartitionTable& table, int unit, DType) {
    for (int rank = 0; rank < table.world_size(); ++rank) {
      ASSERT_EQ(table.frozen_range(unit, rank).begin % kAlignment, 0);
      ASSERT_EQ(table.frozen_range(unit, rank).end % kAlignment, 0);
      ASSERT_EQ(table.trainable_range(unit, rank).begin % kSumBlock, 0);
      ASSERT_EQ(table.trainable_range(unit, rank).end % kSumBlock, 0);
    }
  });
}

TEST(PartitionTable, ShardsAreEqualAndNoLargerThanNeeded) {
  for_random_tables([](const auto&, const PartitionTable& table, int unit, DType) {
    const UnitPartition& partition = table.unit(unit);
    const int64_t world = table.world_size();
    for (int rank = 0; rank < world; ++rank) {
      const Range frozen = table.frozen_range(unit, rank);
      const Range trainable = table.trainable_range(unit, rank);
      // Only at the part's end a range is shorter than the shard.
      ASSERT_TRUE(frozen.size() == partition.frozen_shard_bytes ||
                  frozen.end == partition.frozen_bytes);
      ASSERT_TRUE(trainable.size() == partition.trainable_shard_elements ||
                  trainable.end == partition.trainable_elements);
    }
    ASSERT_GE(partition.frozen_shard_bytes * world, partition.frozen_bytes);
    ASSERT_LT(partition.frozen_shard_bytes * world, partition.frozen_bytes + world * kAlignment);
    ASSERT_GE(partition.trainable_shard_elements * world, partition.trainable_elements);
    ASSERT_LT(partition.trainable_shard_elements * world,
              partition.trainable_elements + world * kSumBlock);
  });
}

TEST(PartitionTable, PlacesParametersAlignedInOrderWithoutOverlap) {
  for_random_tables(
      [](const std::vector<UnitSpec>& units, const PartitionTable& table, int unit, DType dtype) {
        const UnitPartition& partition = table.unit(unit);
        const UnitSpec& spec = units[static_cast<size_t>(unit)];
        ASSERT_EQ(partition.params.size(), spec.params.size());
        int64_t frozen = 0;
        int64_t trainable = 0;
        int64_t parameters = 0;
        for (size_t i = 0; i < spec.params.size(); ++i) {
          const ParamPlace& place = partition.params[i];
          ASSERT_EQ(place.trainable, spec.params[i].trainable);
          ASSERT_EQ(place.numel, spec.params[i].shape.numel());
          parameters += place.numel;
          // In bytes of the working dtype, both parts keep what a kernel may assume of a tensor.
          const int64_t bytes = place.trainable ? place.offset * dtype_size(dtype) : place.offset;
          ASSERT_EQ(bytes % kAlignment, 0);
          int64_t& end = place.trainable ? trainable : frozen;
          ASSERT_GE(place.offset, end);
          end = place.offset + place.numel * (place.trainable ? 1 : dtype_size(dtype));
        }
        ASSERT_LE(frozen, partition.frozen_bytes);
        ASSERT_LE(trainable, partition.trainable_elements);
        ASSERT_EQ(parameters, partition.parameters);
      });
}

TEST(PartitionTable, ByHandForThreeRanks) {
  UnitSpec unit;
  unit.params = {{"a", {100}, ParamKind::kVector, true, false},
                 {"w", {30, 10}, ParamKind::kMatrix, false, true},
                 {"b", {70, 30}, ParamKind::kMatrix, true, true}};
  const PartitionTable table({unit}, DType::kBF16, 3);
  const UnitPartition& partition = table.unit(0);
  EXPECT_EQ(partition.params[0].offset, 0);
  EXPECT_EQ(partition.params[1].offset, 0);    // first of the frozen part
  EXPECT_EQ(partition.params[2].offset, 128);  // behind 100 elements
  EXPECT_EQ(partition.frozen_bytes, 768);      // 600 bytes, three cuts of 256
  EXPECT_EQ(partition.frozen_shard_bytes, 256);
  EXPECT_EQ(partition.trainable_elements, 3072);  // 128 + 2100 = 2228 in three blocks
  EXPECT_EQ(partition.trainable_shard_elements, 1024);
  EXPECT_EQ(partition.parameters, 100 + 300 + 2100);
}

TEST(PartitionTable, MoreRanksThanBlocksLeavesTheLastEmpty) {
  UnitSpec unit;
  unit.params = {{"a", {1500}, ParamKind::kVector, true, false}};
  const PartitionTable table({unit}, DType::kF32, 5);
  EXPECT_EQ(table.trainable_range(0, 0).size(), 1024);
  EXPECT_EQ(table.trainable_range(0, 1).size(), 1024);
  for (int rank = 2; rank < 5; ++rank) EXPECT_EQ(table.trainable_range(0, rank).size(), 0);
}

}  // namespace
}  // namespace athanor

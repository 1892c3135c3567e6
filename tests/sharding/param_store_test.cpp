// ParamStore: who reads what, what a lease sees, and when a slot is gathered again.
#include "sharding/param_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "kernels/matmul/matmul.h"
#include "tests/sharding/store_support.h"
#include "tests/sharding/thread_ranks.h"

namespace athanor {
namespace {

using testing::element;
using testing::placements_of;
using testing::RecordingSource;
using testing::run_ranks;
using testing::test_units;
using testing::TestRank;

int64_t total_elements(const std::vector<UnitSpec>& units) {
  int64_t total = 0;
  for (const UnitSpec& unit : units) {
    for (const ParamSpec& param : unit.params) total += param.shape.numel();
  }
  return total;
}

// What a rank needs to make a store and read from it.
struct Rig {
  Rig(TestRank& rank, int stage, DType dtype)
      : units(test_units()),
        table(units, dtype, rank.communicator->world_size()),
        store(units, table, placements_of(units, stage, table.world_size()), dtype,
              rank.context()) {
    store.load(&source);
  }
  std::vector<UnitSpec> units;
  PartitionTable table;
  RecordingSource source;
  ParamStore store;
};

// Every parameter that a lease shows in plain form has the source's values.
void expect_source_values(const Rig& rig, const Lease& lease) {
  const UnitSpec& unit = rig.units[static_cast<size_t>(lease.unit())];
  for (size_t i = 0; i < unit.params.size(); ++i) {
    const ParamSpec& param = unit.params[i];
    const int index = static_cast<int>(i);
    const ConstTensor plain =
        param.kind == ParamKind::kMatrix ? lease.weight(index).plain : lease.tensor(index);
    if (!plain.defined()) continue;
    ASSERT_EQ(plain.shape(), param.shape);
    for (int64_t at = 0; at < param.shape.numel(); ++at) {
      ASSERT_EQ(element(plain, at), RecordingSource::value(param.name, at)) << param.name;
    }
  }
}

class Loading : public ::testing::TestWithParam<std::tuple<int, DType>> {
 protected:
  int world() const { return std::get<0>(GetParam()); }
  DType dtype() const { return std::get<1>(GetParam()); }
};

TEST_P(Loading, ShardedRanksTogetherReadEverythingOnce) {
  std::mutex mutex;
  std::map<std::string, std::vector<std::pair<int64_t, int64_t>>> read;
  std::vector<int64_t> elements;
  run_ranks(world(), [&](TestRank& self) {
    Rig rig(self, 3, dtype());
    std::lock_guard lock(mutex);
    elements.push_back(rig.source.elements());
    for (const auto& [name, ranges] : rig.source.ranges()) {
      read[name].insert(read[name].end(), ranges.begin(), ranges.end());
    }
  });
  for (const UnitSpec& unit : test_units()) {
    for (const ParamSpec& param : unit.params) {
      std::vector<std::pair<int64_t, int64_t>>& ranges = read[param.name];
      std::sort(ranges.begin(), ranges.end());
      int64_t end = 0;
      for (const auto& [begin, count] : ranges) {
        ASSERT_EQ(begin, end) << param.name << ": read twice or not at all";
        end = begin + count;
      }
      ASSERT_EQ(end, param.shape.numel()) << param.name;
    }
  }
  // Nobody reads more than a shard of each unit, padding included.
  const PartitionTable table(test_units(), dtype(), world());
  int64_t share = 0;
  for (int unit = 0; unit < table.num_units(); ++unit) {
    share += table.unit(unit).frozen_shard_bytes / dtype_size(dtype()) +
             table.unit(unit).trainable_shard_elements;
  }
  for (const int64_t one : elements) EXPECT_LE(one, share);
}

TEST_P(Loading, ReplicatedRanksReadEverythingOnceEach) {
  run_ranks(world(), [&](TestRank& self) {
    Rig rig(self, 2, dtype());
    EXPECT_EQ(rig.source.elements(), total_elements(rig.units));
  });
}

TEST_P(Loading, LeasesShowTheSourcesValuesAtAnyStage) {
  for (const int stage : {0, 3}) {
    run_ranks(world(), [&](TestRank& self) {
      Rig rig(self, stage, dtype());
      for (const int unit : {0, 1, 2, 1, 0}) expect_source_values(rig, rig.store.acquire(unit));
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Worlds, Loading,
                         ::testing::Combine(::testing::Values(1, 2, 3, 4),
                                            ::testing::Values(DType::kF32, DType::kBF16)));

TEST(ParamStore, ResidentFrozenMatricesAreKeptPreparedOnly) {
  run_ranks(1, [](TestRank& self) {
    Rig rig(self, 0, DType::kF32);
    const Lease lease = rig.store.acquire(0);
    EXPECT_TRUE(lease.weight(1).prepared.defined());
    EXPECT_FALSE(lease.weight(1).plain.defined());
    EXPECT_THROW(static_cast<void>(lease.tensor(1)), Error);
    EXPECT_FALSE(lease.weight(2).prepared.defined());  // trainable
  });
}

TEST(ParamStore, AHeldUnitIsNotGatheredAgain) {
  run_ranks(2, [](TestRank& self) {
    Rig rig(self, 3, DType::kF32);
    for (int round = 0; round < 4; ++round) {
      Lease lease = rig.store.acquire(0);
      rig.store.prefetch(1);  // while the present one computes
      expect_source_values(rig, lease);
      lease.release();
      lease = rig.store.acquire(1);
      rig.store.prefetch(0);
      expect_source_values(rig, lease);
    }
    EXPECT_EQ(rig.store.frozen_gathers(), (std::vector<int64_t>{1, 1, 0}));
    EXPECT_EQ(rig.store.trainable_gathers(), (std::vector<int64_t>{1, 1, 0}));
    // The third unit takes the slot of the one that was used longest ago.
    expect_source_values(rig, rig.store.acquire(2));
    expect_source_values(rig, rig.store.acquire(1));
    expect_source_values(rig, rig.store.acquire(0));
    EXPECT_EQ(rig.store.frozen_gathers(), (std::vector<int64_t>{2, 1, 0}));  // unit 2 has none
    EXPECT_EQ(rig.store.trainable_gathers(), (std::vector<int64_t>{2, 1, 1}));
  });
}

TEST(ParamStore, PublishMakesTrainedPartsStaleAndOnlyThem) {
  run_ranks(3, [](TestRank& self) {
    Rig rig(self, 3, DType::kF32);
    expect_source_values(rig, rig.store.acquire(0));
    const Tensor shard = rig.store.stored_trainable(0);
    for (int64_t i = 0; i < shard.numel(); ++i) shard.data<float>()[i] += 1000.0f;
    rig.store.publish(0, true);
    const Lease lease = rig.store.acquire(0);
    EXPECT_EQ(rig.store.frozen_gathers()[0], 1);
    EXPECT_EQ(rig.store.trainable_gathers()[0], 2);
    for (const int param : {2, 3}) {
      const ParamSpec& spec = rig.units[0].params[static_cast<size_t>(param)];
      for (int64_t i = 0; i < spec.shape.numel(); ++i) {
        ASSERT_EQ(element(lease.tensor(param), i), RecordingSource::value(spec.name, i) + 1000.0f);
      }
    }
    EXPECT_EQ(element(lease.tensor(0), 5), RecordingSource::value("first.norm", 5));
  });
}

TEST(ParamStore, UpdatedSharesOfReplicatedParametersReachEveryRank) {
  for (const int world : {2, 3, 5}) {  // 3 and 5: the last ranks own padding only
    run_ranks(world, [](TestRank& self) {
      Rig rig(self, 1, DType::kBF16);
      const Range own = rig.table.trainable_range(0, self.rank());
      if (own.size() > 0) {
        const Tensor share = rig.store.stored_trainable(0, own);
        for (int64_t i = 0; i < share.numel(); ++i) {
          share.data<bfloat16>()[i] = to_bfloat16(element(share, i) + 128.0f);
        }
      }
      rig.store.publish(0, true);
      const Lease lease = rig.store.acquire(0);
      for (const int param : {2, 3}) {
        const ParamSpec& spec = rig.units[0].params[static_cast<size_t>(param)];
        for (int64_t i = 0; i < spec.shape.numel(); ++i) {
          ASSERT_EQ(element(lease.tensor(param), i), RecordingSource::value(spec.name, i) + 128.0f);
        }
      }
    });
  }
}

TEST(ParamStore, MoreLeasesThanSlotsIsAnErrorNotAnOverwrite) {
  run_ranks(2, [](TestRank& self) {
    Rig rig(self, 3, DType::kF32);
    const Lease first = rig.store.acquire(0);
    const Lease second = rig.store.acquire(1);
    EXPECT_THROW(static_cast<void>(rig.store.acquire(2)), Error);
    rig.store.prefetch(2);  // has no room: a later acquire will gather
    expect_source_values(rig, first);
    expect_source_values(rig, second);
  });
}

}  // namespace
}  // namespace athanor

// Collectives of thread ranks against the pairwise tree formula, bit for bit, for any world.
#include "sharding/comm/communicator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "core/philox.h"
#include "tests/sharding/thread_ranks.h"

namespace athanor {
namespace {

using testing::run_ranks;
using testing::run_ranks_catching;
using testing::TestRank;

// Magnitudes over twelve decades, so that another order of the sum has other bits.
float value(int rank, int64_t element) {
  const PhiloxKey key{7, static_cast<uint64_t>(rank)};
  const float uniform = key.uniform(static_cast<uint64_t>(2 * element));
  const float exponent = key.uniform(static_cast<uint64_t>(2 * element + 1)) * 40.0f - 20.0f;
  return std::ldexp(2.0f * uniform - 1.0f, static_cast<int>(exponent));
}

// The definition, apart from core/pairwise.h: split at the largest power of two below n.
float tree(int begin, int n, int64_t element) {
  if (n == 1) return value(begin, element);
  int left = 1;
  while (left * 2 < n) left *= 2;
  return tree(begin, left, element) + tree(begin + left, n - left, element);
}

std::vector<float> values(int rank, int64_t count) {
  std::vector<float> result(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) result[static_cast<size_t>(i)] = value(rank, i);
  return result;
}

Tensor view(std::vector<float>& data) {
  return Tensor(data.data(), DType::kF32, {static_cast<int64_t>(data.size())});
}

// Longer than an inner chunk of the sum, and no multiple of it.
constexpr int64_t kCount = 1003;

class Collectives : public ::testing::TestWithParam<int> {
 protected:
  int world() const { return GetParam(); }
};

TEST_P(Collectives, AllGatherPutsBlocksInRankOrder) {
  for (const bool in_place : {false, true}) {
    run_ranks(world(), [&](TestRank& self) {
      std::vector<float> out(static_cast<size_t>(kCount * world()), -1.0f);
      const std::vector<float> own = values(self.rank(), kCount);
      const float* in = own.data();
      if (in_place) {
        std::memcpy(out.data() + self.rank() * kCount, own.data(), own.size() * 4);
        in = out.data() + self.rank() * kCount;
      }
      self.communicator->all_gather(out.data(), in, kCount * 4, self.communication);
      self.communication.synchronize();
      for (int rank = 0; rank < world(); ++rank) {
        for (int64_t i = 0; i < kCount; ++i) {
          ASSERT_EQ(out[static_cast<size_t>(rank * kCount + i)], value(rank, i));
        }
      }
    });
  }
}

TEST_P(Collectives, ReduceScatterIsTheTreeSumOfThePresentRanks) {
  for (int present = 1; present <= world(); ++present) {
    for (const bool in_place : {false, true}) {
      run_ranks(world(), [&](TestRank& self) {
        std::vector<float> in = values(self.rank(), kCount * world());
        if (self.rank() >= present) {  // takes part, but its input must not be read
          in.assign(in.size(), std::numeric_limits<float>::quiet_NaN());
        }
        std::vector<float> apart(static_cast<size_t>(kCount), -1.0f);
        const Tensor whole = view(in);
        const Tensor out = in_place ? whole.rows(self.rank() * kCount, kCount) : view(apart);
        self.communicator->reduce_scatter(out, whole, present, self.communication);
        self.communication.synchronize();
        for (int64_t i = 0; i < kCount; ++i) {
          ASSERT_EQ(out.data<float>()[i], tree(0, present, self.rank() * kCount + i));
        }
      });
    }
  }
}

TEST_P(Collectives, AllReduceGivesEveryRankTheTreeSum) {
  for (int present = 1; present <= world(); ++present) {
    run_ranks(world(), [&](TestRank& self) {
      std::vector<float> data = values(self.rank(), kCount * world());
      if (self.rank() >= present) {
        data.assign(data.size(), std::numeric_limits<float>::quiet_NaN());
      }
      self.communicator->all_reduce(view(data), present, self.communication);
      self.communication.synchronize();
      for (int64_t i = 0; i < kCount * world(); ++i) {
        ASSERT_EQ(data[static_cast<size_t>(i)], tree(0, present, i));
      }
    });
  }
}

TEST_P(Collectives, HostChannelSumsMaximaAndBlocks) {
  run_ranks(world(), [&](TestRank& self) {
    const int64_t w = world();
    EXPECT_EQ(self.communicator->sum_host(self.rank() + 1, self.communication), w * (w + 1) / 2);
    EXPECT_EQ(self.communicator->max_host(-self.rank(), self.communication), 0);
    std::vector<int32_t> all(static_cast<size_t>(w), -1);
    const int32_t own = 10 * self.rank();
    self.communicator->all_gather_host(std::as_writable_bytes(std::span(all)),
                                       std::as_bytes(std::span(&own, 1)), self.communication);
    for (int rank = 0; rank < world(); ++rank) {
      EXPECT_EQ(all[static_cast<size_t>(rank)], 10 * rank);
    }
  });
}

TEST_P(Collectives, NobodyPassesABarrierBeforeAllHaveCome) {
  std::atomic<int> arrived{0};
  run_ranks(world(), [&](TestRank& self) {
    for (int round = 1; round <= 20; ++round) {
      ++arrived;
      self.communicator->barrier(self.communication);
      self.communication.synchronize();
      ASSERT_GE(arrived.load(), round * world());
    }
  });
}

TEST_P(Collectives, CountsAreThoseOfAPlan) {
  const int present = std::max(1, world() - 1);
  const auto submit_all = [&](Communicator& communicator, Stream& stream, float* data) {
    const Tensor whole(data, DType::kF32, {kCount * world()});
    const Tensor own = whole.rows(communicator.rank() * kCount, kCount);
    communicator.all_gather(data, own.raw(), kCount * 4, stream);
    communicator.reduce_scatter(own, whole, present, stream);
    communicator.all_reduce(whole, present, stream);
    communicator.all_gather(data, own.raw(), 0, stream);  // nothing to send is no collective
  };
  run_ranks(world(), [&](TestRank& self) {
    std::vector<float> data(static_cast<size_t>(kCount * world()), 1.0f);
    submit_all(*self.communicator, self.communication, data.data());
    self.communication.synchronize();
    PlanAllocator memory(Tier::kDevice);
    CountingStream stream;
    const auto plan = make_counting_communicator(self.rank(), world(), memory, 0);
    submit_all(*plan, stream, data.data());
    const auto& counts = self.communicator->counts();
    ASSERT_EQ(counts.size(), plan->counts().size());
    for (const auto& [name, count] : plan->counts()) {
      EXPECT_EQ(counts.at(name).count, count.count) << name;
      EXPECT_EQ(counts.at(name).bytes, count.bytes) << name;
    }
    EXPECT_EQ(counts.at("all_gather").count, 2);
    EXPECT_EQ(counts.at("all_gather").bytes, 2 * kCount * 4 * (world() - 1));
    // Received: a block from every present rank but oneself.
    const int64_t peers = present - (self.rank() < present ? 1 : 0);
    EXPECT_EQ(counts.at("reduce_scatter").bytes, 2 * kCount * 4 * peers);
  });
}

INSTANTIATE_TEST_SUITE_P(Worlds, Collectives, ::testing::Values(1, 2, 3, 4, 5));

TEST(Communicator, TheTreeIsNotTheSequentialSum) {
  // Otherwise the comparisons above would prove nothing about the order.
  int different = 0;
  for (int64_t i = 0; i < kCount; ++i) {
    float sequential = value(0, i);
    for (int rank = 1; rank < 4; ++rank) sequential += value(rank, i);
    different += sequential != tree(0, 4, i) ? 1 : 0;
  }
  EXPECT_GT(different, kCount / 20);
}

TEST(Communicator, TreeSumMayOverwriteAnyOperand) {
  for (int count = 1; count <= 9; ++count) {
    for (int target = 0; target < count; ++target) {
      std::vector<std::vector<float>> data;
      std::vector<const float*> operands;
      for (int rank = 0; rank < count; ++rank) data.push_back(values(rank, kCount));
      for (const std::vector<float>& one : data) operands.push_back(one.data());
      tree_sum(data[static_cast<size_t>(target)].data(), operands.data(), count, kCount);
      for (int64_t i = 0; i < kCount; ++i) {
        ASSERT_EQ(data[static_cast<size_t>(target)][static_cast<size_t>(i)], tree(0, count, i));
      }
    }
  }
}

TEST(Communicator, ARankThatStopsReleasesTheOthersWithLostPeer) {
  for (int stopping = 0; stopping < 3; ++stopping) {
    const std::vector<std::exception_ptr> errors = run_ranks_catching(3, [&](TestRank& self) {
      std::vector<float> data(static_cast<size_t>(3 * kCount), 1.0f);
      self.communicator->all_reduce(view(data), 3, self.communication);
      self.communication.synchronize();
      if (self.rank() == stopping) throw Error(ErrorKind::kDiverged, "the loss is not finite");
      self.communicator->all_reduce(view(data), 3, self.communication);
      self.communication.synchronize();
      ADD_FAILURE() << "rank " << self.rank() << " went on without rank " << stopping;
    });
    for (int rank = 0; rank < 3; ++rank) {
      ASSERT_TRUE(errors[static_cast<size_t>(rank)]);
      try {
        std::rethrow_exception(errors[static_cast<size_t>(rank)]);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), rank == stopping ? ErrorKind::kDiverged : ErrorKind::kLostPeer);
        EXPECT_NE(error.message().find("the loss is not finite"), std::string::npos);
      }
    }
  }
}

TEST(Communicator, AfterAnAbortLaterCallsFailToo) {
  const std::vector<std::exception_ptr> errors = run_ranks_catching(2, [&](TestRank& self) {
    if (self.rank() == 0) self.communicator->abort("stopped", 1);
    self.communicator->barrier(self.communication);
    self.communication.synchronize();
    ADD_FAILURE() << "a barrier passed after an abort";
  });
  for (const std::exception_ptr& error : errors) EXPECT_TRUE(error);
}

// A rank that leaves a collective may free its memory at once: it must not leave, abort or not,
// while a peer still reads.
TEST(ThreadGroup, AnAbortLeavesNoReaderBehind) {
  ThreadGroup group(2);
  std::atomic<bool> left{false};
  std::thread peer([&] {
    group.publish(1, nullptr);
    group.close();
    left = true;
    EXPECT_THROW(group.barrier(), Error);
  });
  group.publish(0, nullptr);
  group.abort("stopped");
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // room for a mistake
  EXPECT_FALSE(left.load());
  group.close();
  peer.join();
  EXPECT_TRUE(left.load());
  EXPECT_THROW(group.barrier(), Error);
}

TEST(Communicator, SoloHasTheSameResults) {
  HostAllocator memory(Tier::kHost);
  ThreadPool pool(1, memory, kAlignment);
  ImmediateStream stream(pool);
  const auto solo = make_solo_communicator();
  std::vector<float> in = values(0, kCount);
  std::vector<float> out(in.size(), -1.0f);
  solo->reduce_scatter(view(out), view(in), 1, stream);
  EXPECT_EQ(out, in);
  solo->all_reduce(view(in), 1, stream);
  EXPECT_EQ(out, in);
  out.assign(out.size(), -1.0f);
  solo->all_gather(out.data(), in.data(), kCount * 4, stream);
  EXPECT_EQ(out, in);
  EXPECT_EQ(solo->sum_host(5, stream), 5);
}

}  // namespace
}  // namespace athanor

// Ranks over sockets compute what ranks as threads compute, bit for bit, and notice a closed end.
#include "sharding/comm/socket_communicator.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <thread>
#include <vector>

#include "core/philox.h"
#include "tests/sharding/thread_ranks.h"

namespace athanor {
namespace {

// Longer than two rounds of a reduction, and no multiple of one.
constexpr int64_t kCount = 2 * 65536 + 1003;

std::vector<std::vector<int>> connected(int world) {
  std::vector<std::vector<int>> ends(static_cast<size_t>(world),
                                     std::vector<int>(static_cast<size_t>(world), -1));
  for (size_t a = 0; a < ends.size(); ++a) {
    for (size_t b = a + 1; b < ends.size(); ++b) {
      int pair[2];
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
      ends[a][b] = pair[0];
      ends[b][a] = pair[1];
    }
  }
  return ends;
}

using Body = std::function<void(Communicator&, Stream&)>;

void run_over_sockets(int world, const Body& body) {
  const std::vector<std::vector<int>> ends = connected(world);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      HostAllocator memory(Tier::kDevice);
      ThreadPool pool(1, memory, kAlignment);
      FifoStream stream(pool);
      const auto communicator =
          make_socket_communicator(rank, ends[static_cast<size_t>(rank)], memory);
      body(*communicator, stream);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

std::vector<float> values(int rank, int64_t count) {
  const PhiloxKey key{11, static_cast<uint64_t>(rank)};
  std::vector<float> result(static_cast<size_t>(count));
  for (size_t i = 0; i < result.size(); ++i) result[i] = key.uniform(i) * 100.0f - 50.0f;
  return result;
}

class SocketCollectives : public ::testing::TestWithParam<int> {};

TEST_P(SocketCollectives, HaveTheBitsOfThreadRanks) {
  const int world = GetParam();
  using Results = std::vector<std::vector<float>>;
  const auto compute = [&](Communicator& communicator, Stream& stream, int present,
                           Results& results) {
    std::vector<float> data = values(communicator.rank(), kCount * world);
    communicator.all_reduce(Tensor(data.data(), DType::kF32, {kCount * world}), present, stream);
    communicator.barrier(stream);
    stream.synchronize();
    EXPECT_EQ(communicator.sum_host(communicator.rank() + 1, stream), world * (world + 1) / 2);
    EXPECT_EQ(communicator.max_host(-communicator.rank(), stream), 0);
    results[static_cast<size_t>(communicator.rank())] = std::move(data);
  };
  for (int present = 1; present <= world; ++present) {
    Results threads(static_cast<size_t>(world));
    Results sockets(static_cast<size_t>(world));
    testing::run_ranks(world, [&](testing::TestRank& self) {
      compute(*self.communicator, self.communication, present, threads);
    });
    run_over_sockets(world, [&](Communicator& communicator, Stream& stream) {
      compute(communicator, stream, present, sockets);
    });
    EXPECT_TRUE(threads == sockets) << present << " of " << world << " present";
  }
}

INSTANTIATE_TEST_SUITE_P(Worlds, SocketCollectives, ::testing::Values(1, 2, 3, 4, 5));

TEST(SocketCommunicator, APeerThatAbortsOrLeavesIsALostPeer) {
  for (const bool abort : {false, true}) {
    run_over_sockets(3, [&](Communicator& communicator, Stream& stream) {
      communicator.barrier(stream);
      stream.synchronize();
      if (communicator.rank() == 1) {
        if (abort) communicator.abort("stopped", 1);
        return;
      }
      try {
        communicator.barrier(stream);
        stream.synchronize();
        ADD_FAILURE() << "a barrier passed without rank 1";
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kLostPeer);
      }
    });
  }
}

}  // namespace
}  // namespace athanor

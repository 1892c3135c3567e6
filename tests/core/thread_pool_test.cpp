// The pool runs each task once, hands back exceptions and stays usable.
#include "core/thread_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "core/error.h"

namespace athanor {
namespace {

constexpr int64_t kScratch = 1000;

class ThreadPoolTest : public ::testing::TestWithParam<int> {
 protected:
  HostAllocator allocator_{Tier::kHost};
  ThreadPool pool_{GetParam(), allocator_, kScratch};
};

TEST_P(ThreadPoolTest, RunsEachTaskOnce) {
  EXPECT_EQ(pool_.size(), GetParam());
  for (int64_t tasks : {0, 1, 2, 7, 1000}) {
    std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
    pool_.parallel_for(tasks, [&](int64_t task, int worker) {
      EXPECT_TRUE(worker >= 0 && worker < pool_.size());
      ++runs[static_cast<size_t>(task)];
    });
    for (const auto& count : runs) ASSERT_EQ(count, 1);
  }
}

TEST_P(ThreadPoolTest, ManySmallLoopsFollowOneAnother) {
  int64_t sum = 0;
  for (int round = 0; round < 2000; ++round) {
    std::atomic<int64_t> part{0};
    pool_.parallel_for(round % 5, [&](int64_t task, int) { part += task + 1; });
    sum += part;
  }
  EXPECT_EQ(sum, 2000 / 5 * (0 + 1 + 3 + 6 + 10));
}

// A worker that wakes late must not claim a task of a loop that is longer than its own was.
TEST_P(ThreadPoolTest, RunsEachTaskOnceWhateverTheLengthsOfLoops) {
  constexpr int64_t kLongest = 12;
  std::array<std::atomic<int>, kLongest> runs;
  for (int64_t round = 0; round < 20000; ++round) {
    const int64_t tasks = 2 + round * 7 % (kLongest - 1);
    for (auto& count : runs) count.store(0, std::memory_order_relaxed);
    pool_.parallel_for(tasks, [&](int64_t task, int) {
      runs[static_cast<size_t>(task)].fetch_add(1, std::memory_order_relaxed);
    });
    for (int64_t task = 0; task < kLongest; ++task) {
      ASSERT_EQ(runs[static_cast<size_t>(task)].load(), task < tasks ? 1 : 0)
          << "round " << round << ", task " << task << " of " << tasks;
    }
  }
}

TEST_P(ThreadPoolTest, ScratchBelongsToOneWorker) {
  EXPECT_GE(pool_.scratch_bytes(), kScratch);
  pool_.parallel_for(200, [&](int64_t task, int worker) {
    std::byte* mine = pool_.scratch(worker);
    std::memset(mine, static_cast<int>(task), static_cast<size_t>(pool_.scratch_bytes()));
    for (int64_t i = 0; i < pool_.scratch_bytes(); ++i) {
      ASSERT_EQ(mine[i], static_cast<std::byte>(task));
    }
  });
}

TEST_P(ThreadPoolTest, RethrowsAnExceptionAndStaysUsable) {
  for (int round = 0; round < 50; ++round) {
    try {
      pool_.parallel_for(20, [&](int64_t task, int) {
        if (task % 7 == 3) throw Error(ErrorKind::kIo, "task failed");
      });
      FAIL() << "the exception was lost";
    } catch (const Error& error) {
      EXPECT_EQ(error.message(), "task failed");
    }
    std::atomic<int> runs{0};
    pool_.parallel_for(20, [&](int64_t, int) { ++runs; });
    EXPECT_EQ(runs, 20);
  }
}

TEST_P(ThreadPoolTest, NeverAllocatesAfterItsStart) {
  const int64_t allocations = allocator_.stats().allocations;
  pool_.parallel_for(100, [](int64_t, int) {});
  EXPECT_EQ(allocator_.stats().allocations, allocations);
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, ::testing::Values(1, 2, 4, 8));

TEST(ThreadPoolChecks, NeedAThread) {
  HostAllocator allocator(Tier::kHost);
  EXPECT_THROW(ThreadPool(0, allocator, kScratch), Error);
}

}  // namespace
}  // namespace athanor

#include "core/cores.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "core/buffer.h"
#include "core/error.h"
#include "core/stream.h"
#include "core/thread_pool.h"
#include "tests/support/temp_folder.h"

namespace athanor {
namespace {

HostCores host(int cores, double quota = kNoQuota, int launcher_cores = 0) {
  HostCores result;
  for (int i = 0; i < cores; ++i) result.cpus.push_back(2 * i);  // as with two CPUs a core
  result.quota = quota;
  result.launcher_cores = launcher_cores;
  return result;
}

CoreShare share(const HostCores& cores, int ranks, int rank = 0,
                std::optional<int> threads = std::nullopt, bool pin = true) {
  return share_cores(cores, {ranks, rank, threads, pin});
}

TEST(CoreShare, SharesAreEqualAndDisjoint) {
  for (int cores = 1; cores <= 9; ++cores) {
    for (int ranks = 1; ranks <= cores; ++ranks) {
      std::set<int> taken;
      for (int rank = 0; rank < ranks; ++rank) {
        const CoreShare own = share(host(cores), ranks, rank);
        EXPECT_EQ(own.threads, cores / ranks);
        EXPECT_EQ(own.cpus.size(), static_cast<size_t>(own.threads));
        for (const int cpu : own.cpus) EXPECT_TRUE(taken.insert(cpu).second) << cpu;
      }
    }
  }
}

TEST(CoreShare, MoreRanksThanCoresGetAThreadEachThatIsNotPinned) {
  EXPECT_EQ(share(host(2), 3).threads, 1);
  EXPECT_TRUE(share(host(2), 3).cpus.empty());
}

TEST(CoreShare, OnlyThreadsThatFillTheShareArePinned) {
  EXPECT_EQ(share(host(8), 2, 1, 4).cpus, (std::vector<int>{8, 10, 12, 14}));
  EXPECT_EQ(share(host(8), 2, 1, 5).threads, 5);
  EXPECT_EQ(share(host(8), 2, 1, 5).why_not_pinned, "more threads than cores");
  EXPECT_EQ(share(host(8), 2, 1, 3).threads, 3);
  EXPECT_EQ(share(host(8), 2, 1, 3).why_not_pinned, "fewer threads than cores");
  EXPECT_TRUE(share(host(8), 2, 1, 4, false).cpus.empty());
}

TEST(CoreShare, QuotaIsDividedAndLeavesTheChoiceOfCoresToTheKernel) {
  EXPECT_EQ(share(host(8, 4.5), 1).threads, 4);
  EXPECT_EQ(share(host(8, 4.5), 2).threads, 2);
  EXPECT_EQ(share(host(8, 0.5), 2).threads, 1);
  EXPECT_TRUE(share(host(8, 4.5), 1).cpus.empty());
  EXPECT_EQ(share(host(8, 8.0), 1).cpus.size(), 8u);
}

TEST(CoreShare, RanksThatTheirLauncherHasBoundKeepWhatTheyHave) {
  const CoreShare own = share(host(4, kNoQuota, 16), 4, 3);  // a quarter each
  EXPECT_EQ(own.cpus, (std::vector<int>{0, 2, 4, 6}));
  const CoreShare half = share(host(8, kNoQuota, 16), 4, 3);  // two ranks on each half
  EXPECT_EQ(half.threads, 4);
  EXPECT_TRUE(half.cpus.empty());
  EXPECT_EQ(share(host(1, kNoQuota, 16), 2, 1).cpus, (std::vector<int>{0}));
}

class CpuQuota : public ::testing::Test {
 protected:
  void put(const std::string& name, const std::string& text) {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  double quota() const { return cpu_quota(folder_ / "groups", folder_ / "membership"); }
  testing::TempFolder folder_;
};

TEST_F(CpuQuota, MissingFilesAreNoLimit) {
  EXPECT_EQ(quota(), kNoQuota);
  put("membership", "0::/a/b\n");
  EXPECT_EQ(quota(), kNoQuota);
  put("groups/a/cpu.max", "max 100000\n");
  EXPECT_EQ(quota(), kNoQuota);
  put("groups/a/cpu.max", "");
  put("membership", "nonsense\n");
  EXPECT_EQ(quota(), kNoQuota);
}

TEST_F(CpuQuota, TightestOfTheEnclosingGroupsHolds) {
  put("membership", "0::/a/b\n");
  put("groups/cpu.max", "800000 100000\n");
  put("groups/a/cpu.max", "150000 100000\n");
  put("groups/a/b/cpu.max", "400000 100000\n");
  put("groups/c/cpu.max", "1000 100000\n");
  EXPECT_EQ(quota(), 1.5);
}

TEST_F(CpuQuota, IsReadBesideVersionOneAndOnlyInThisProcessesView) {
  put("membership", "4:cpu:/\n0::/a/../b\n");
  put("groups/unified/a/cpu.max", "300000 100000\n");
  put("groups/b/cpu.max", "100000 100000\n");
  EXPECT_EQ(quota(), 3.0);
}

TEST_F(CpuQuota, VersionOneIsReadToo) {
  put("membership", "5:cpuset:/a\n4:cpu,cpuacct:/a\n");
  put("groups/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  put("groups/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), kNoQuota);
  put("groups/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
  put("groups/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 2.5);
}

TEST(Cores, AreAmongTheAllowedCpus) {
  const std::vector<int> allowed = allowed_cpus(0);
  ASSERT_FALSE(allowed.empty());
  const std::vector<int> cores = one_cpu_per_core(allowed);
  ASSERT_FALSE(cores.empty());
  EXPECT_EQ(std::set<int>(cores.begin(), cores.end()).size(), cores.size());
  for (const int cpu : cores) EXPECT_EQ(std::count(allowed.begin(), allowed.end(), cpu), 1);
  EXPECT_EQ(one_cpu_per_core({cores[0]}), (std::vector<int>{cores[0]}));
  EXPECT_TRUE(one_cpu_per_core({}).empty());
}

int cpus_of_this_thread() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(pthread_getaffinity_np(pthread_self(), sizeof set, &set), 0);
  return CPU_COUNT(&set);
}

// In a thread of its own: the caller of pin stays pinned.
TEST(ThreadPool, PinnedThreadsStayAndStreamsFloat) {
  const std::vector<int> allowed = allowed_cpus(0);
  std::thread([&] {
    HostAllocator memory(Tier::kHost);
    ThreadPool pool(3, memory, 64);
    ThreadPool stream_pool(1, memory, 64);
    FifoStream stream(stream_pool);
    pool.pin({allowed.front(), allowed.back(), allowed.front()});
    std::atomic<int> wrong{0};
    pool.parallel_for(300, [&](int64_t, int worker) {
      if (cpus_of_this_thread() != 1) ++wrong;
      if (sched_getcpu() != (worker == 1 ? allowed.back() : allowed.front())) ++wrong;
    });
    EXPECT_EQ(wrong.load(), 0);
    int floating = 0;
    stream.submit(Cost{"look"}, [out = &floating](ExecContext&) { *out = cpus_of_this_thread(); });
    stream.synchronize();
    EXPECT_EQ(floating, static_cast<int>(allowed.size()));
    // One that is made later begins where its maker is, unless it asks.
    std::thread([&] {
      EXPECT_EQ(cpus_of_this_thread(), 1);
      float_this_thread();
      EXPECT_EQ(cpus_of_this_thread(), static_cast<int>(allowed.size()));
    }).join();
    EXPECT_THROW(pool.pin({allowed.front()}), Error);
    EXPECT_THROW(pool.pin({1 << 13, 1 << 13, 1 << 13}), Error);
  }).join();
}

}  // namespace
}  // namespace athanor

// The memory budget on made-up hosts: files of /proc and /sys/fs/cgroup in a folder.
#include "runtime/train/budget.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/support/temp_folder.h"

namespace athanor::testing {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

class Budget : public ::testing::Test {
 protected:
  void file(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root_ / name).parent_path());
    root_.write(name, text);
  }
  void meminfo(int64_t available_bytes) {
    file("proc/meminfo", "MemTotal:       99999999 kB\nMemFree:         1024 kB\nMemAvailable:   " +
                             std::to_string(available_bytes / 1024) + " kB\n");
  }
  // A group of version 2.
  void group(const std::string& path, const std::string& max, int64_t current,
             const std::string& stat) {
    const std::string folder = "sys/fs/cgroup/" + path + "/";
    file(folder + "memory.max", max + "\n");
    file(folder + "memory.current", std::to_string(current) + "\n");
    file(folder + "memory.stat", stat);
  }
  MemoryBudget budget() const { return memory_budget(root_.path()); }

  TempFolder root_;
};

TEST_F(Budget, IsMemAvailableLessFivePercent) {
  meminfo(100 * kGiB);
  EXPECT_EQ(budget().free_bytes, 100 * kGiB);
  EXPECT_EQ(budget().bytes, 95 * kGiB);
  EXPECT_EQ(budget().limited_by, "MemAvailable");
}

TEST_F(Budget, KeepsAReserveOnSmallHosts) {
  meminfo(kGiB);
  EXPECT_EQ(budget().bytes, kGiB - kMemoryReserveBytes);
  meminfo(kMemoryReserveBytes / 2);
  EXPECT_EQ(budget().bytes, 0);
}

TEST_F(Budget, CountsFileCacheOfAGroupAsFreeButNotSharedMemory) {
  meminfo(100 * kGiB);
  file("proc/self/cgroup", "0::/job\n");
  const std::string cache = std::to_string(kGiB);
  group("job", std::to_string(10 * kGiB), 9 * kGiB,
        "anon 1\nfile " + std::to_string(8 * kGiB) + "\nshmem " + std::to_string(6 * kGiB) +
            "\ninactive_file " + cache + "\nactive_file " + cache + "\n");
  EXPECT_EQ(budget().free_bytes, 3 * kGiB);
  EXPECT_NE(budget().limited_by.find("/job"), std::string::npos);
}

TEST_F(Budget, EveryAncestorLimits) {
  meminfo(100 * kGiB);
  file("proc/self/cgroup", "0::/slurm/job_7/step_0\n");
  group("slurm", "max", 50 * kGiB, "");
  group("slurm/job_7", std::to_string(16 * kGiB), 12 * kGiB, "");
  group("slurm/job_7/step_0", std::to_string(8 * kGiB), kGiB, "");
  EXPECT_EQ(budget().free_bytes, 4 * kGiB);
  file("sys/fs/cgroup/slurm/memory.high", std::to_string(51 * kGiB));
  EXPECT_EQ(budget().free_bytes, kGiB);
}

// Without a namespace the path is the host's, while the container sees its group as the root.
TEST_F(Budget, GroupThatOnlyTheHostSeesIsTheRootOfAContainer) {
  meminfo(100 * kGiB);
  group(".", std::to_string(5 * kGiB), 2 * kGiB, "");
  for (const char* line : {"0::/docker/abc\n", "0::/\n", "0::/../other\n"}) {
    file("proc/self/cgroup", line);
    EXPECT_EQ(budget().free_bytes, 3 * kGiB) << line;
  }
}

TEST_F(Budget, ReadsVersionOneWithItsTotals) {
  meminfo(100 * kGiB);
  file("proc/self/cgroup", "5:cpuset:/\n4:hugetlb,memory:/job\n0::/\n");
  const std::string folder = "sys/fs/cgroup/memory/";
  file(folder + "memory.limit_in_bytes", "9223372036854771712\n");
  file(folder + "memory.usage_in_bytes", "1\n");
  EXPECT_EQ(budget().limited_by, "MemAvailable");
  file(folder + "job/memory.limit_in_bytes", std::to_string(10 * kGiB));
  file(folder + "job/memory.usage_in_bytes", std::to_string(6 * kGiB));
  file(folder + "job/memory.stat", "inactive_file 7\ntotal_inactive_file " + std::to_string(kGiB) +
                                       "\ntotal_active_file " + std::to_string(kGiB) + "\n");
  EXPECT_EQ(budget().free_bytes, 6 * kGiB);
}

TEST_F(Budget, MoreUseThanTheLimitLeavesNothing) {
  meminfo(100 * kGiB);
  file("proc/self/cgroup", "0::/job\n");
  group("job", std::to_string(kGiB), 2 * kGiB, "");
  EXPECT_EQ(budget().free_bytes, 0);
  EXPECT_EQ(budget().bytes, 0);
}

TEST_F(Budget, HostThatSaysNothingIsAnError) {
  try {
    budget();
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    EXPECT_NE(error.message().find("memory_budget"), std::string::npos);
  }
}

TEST(BudgetOfThisHost, IsPositiveAndBelowWhatIsFree) {
  const MemoryBudget budget = memory_budget();
  EXPECT_GT(budget.bytes, 0);
  EXPECT_LE(budget.bytes, budget.free_bytes - kMemoryReserveBytes);
}

}  // namespace
}  // namespace athanor::testing

// How much memory a host still has for a run: what the kernel calls available, within what every
// control group around this process still allows, less a reserve.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace athanor {

struct MemoryBudget {
  int64_t free_bytes = 0;  // what could be taken before something has to give way
  int64_t bytes = 0;       // free_bytes less the reserve; never negative
  std::string limited_by;  // "MemAvailable" or the control group's folder
};

// Stays free whatever the plan says: code, libraries, tokenised data and page tables are not in it.
inline constexpr int64_t kMemoryReserveBytes = int64_t{256} << 20;

// bytes = free - max(free / 20, kMemoryReserveBytes), free = min over
//   MemAvailable                                             /proc/meminfo
//   limit - use + reclaimable file cache                     each control group from this process's
//                                                            own (/proc/self/cgroup) up to the root
// The cache of a group is its active_file + inactive_file: pages that the kernel drops before it
// refuses memory; tmpfs and shared memory do not count. Versions 1 and 2 are read, also mixed;
// under version 2 memory.high limits as memory.max does, beyond it a run crawls. `root` stands for
// `/`. Error(kIo) when nothing of this can be read.
MemoryBudget memory_budget(const std::filesystem::path& root = "/");

}  // namespace athanor

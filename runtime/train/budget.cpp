#include "runtime/train/budget.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "core/control_groups.h"
#include "core/error.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// "max", an absent file and version 1's largest value are no limit; nor is what no machine has.
int64_t read_limit(const fs::path& file) {
  std::ifstream stream(file);
  int64_t value = 0;
  if (!(stream >> value) || value < 0 || value > kUnlimited / 2) return kUnlimited;
  return value;
}

std::optional<int64_t> read_number(const fs::path& file) {
  std::ifstream stream(file);
  int64_t value = 0;
  if (!(stream >> value)) return std::nullopt;
  return value;
}

// Lines "name value" of memory.stat.
int64_t stat_sum(const fs::path& file, const char* first, const char* second) {
  std::ifstream stream(file);
  int64_t sum = 0;
  std::string key;
  int64_t value = 0;
  while (stream >> key >> value) {
    if (key == first || key == second) sum += value;
  }
  return sum;
}

// What one group still allows.
int64_t group_free(const fs::path& group, bool unified) {
  const int64_t limit =
      unified ? std::min(read_limit(group / "memory.max"), read_limit(group / "memory.high"))
              : read_limit(group / "memory.limit_in_bytes");
  if (limit == kUnlimited) return kUnlimited;
  const std::optional<int64_t> used =
      read_number(group / (unified ? "memory.current" : "memory.usage_in_bytes"));
  if (!used) return limit;
  // Version 1 sums over the group's children only in the total_* lines.
  const fs::path stat = group / "memory.stat";
  const int64_t cache = unified ? stat_sum(stat, "active_file", "inactive_file")
                                : stat_sum(stat, "total_active_file", "total_inactive_file");
  return std::clamp<int64_t>(limit - *used + cache, 0, limit);
}

struct Tightest {
  int64_t free = kUnlimited;
  std::string name;
  void take(int64_t value, const std::string& where) {
    if (value >= free) return;
    free = value;
    name = where;
  }
};

int64_t meminfo_available(const fs::path& root) {
  std::ifstream stream(root / "proc/meminfo");
  for (std::string line; std::getline(stream, line);) {
    if (line.rfind("MemAvailable:", 0) == 0) return std::stoll(line.substr(13)) * 1024;
  }
  return kUnlimited;
}

}  // namespace

MemoryBudget memory_budget(const fs::path& root) {
  Tightest tightest;
  tightest.take(meminfo_available(root), "MemAvailable");
  for (const ControlGroup& group :
       control_groups(root / "sys/fs/cgroup", root / "proc/self/cgroup", "memory")) {
    tightest.take(group_free(group.folder, group.unified), group.folder.string());
  }
  if (tightest.free == kUnlimited) {
    throw Error(ErrorKind::kIo, (root / "proc/meminfo").string() +
                                    ": found no MemAvailable and no control group with a limit, "
                                    "needed one of them or memory_budget in the config");
  }
  MemoryBudget budget;
  budget.free_bytes = tightest.free;
  budget.limited_by = tightest.name;
  budget.bytes =
      std::max<int64_t>(0, tightest.free - std::max(tightest.free / 20, kMemoryReserveBytes));
  return budget;
}

}  // namespace athanor

#include "core/cores.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "core/control_groups.h"
#include "core/error.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

// More CPUs than any machine has; the fixed cpu_set_t ends at 1024.
constexpr int kMaxCpus = 1 << 14;

class CpuSet {
 public:
  CpuSet() : set_(CPU_ALLOC(kMaxCpus)) { CPU_ZERO_S(bytes(), set_); }
  ~CpuSet() { CPU_FREE(set_); }
  CpuSet(const CpuSet&) = delete;
  CpuSet& operator=(const CpuSet&) = delete;

  static size_t bytes() { return CPU_ALLOC_SIZE(kMaxCpus); }
  cpu_set_t* get() const { return set_; }
  void add(int cpu) { CPU_SET_S(static_cast<size_t>(cpu), bytes(), set_); }
  bool has(int cpu) const { return CPU_ISSET_S(static_cast<size_t>(cpu), bytes(), set_) != 0; }

 private:
  cpu_set_t* set_;
};

std::vector<int> affinity(int pid) {
  std::vector<int> cpus;
  const CpuSet set;
  if (::sched_getaffinity(pid, CpuSet::bytes(), set.get()) != 0) return cpus;
  for (int cpu = 0; cpu < kMaxCpus; ++cpu) {
    if (set.has(cpu)) cpus.push_back(cpu);
  }
  return cpus;
}

// As the process was started: asked for the first time before a thread is pinned.
const std::vector<int>& initial_cpus() {
  static const std::vector<int> cpus = affinity(0);
  return cpus;
}

// Version 2: "200000 100000" or "max 100000", in microseconds.
double quota_v2(const fs::path& group) {
  std::ifstream file(group / "cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return kNoQuota;
  return std::strtod(quota.c_str(), nullptr) / period;
}

double quota_v1(const fs::path& group) {
  double quota = -1;
  double period = 0;
  std::ifstream(group / "cpu.cfs_quota_us") >> quota;
  std::ifstream(group / "cpu.cfs_period_us") >> period;
  return quota > 0 && period > 0 ? quota / period : kNoQuota;
}

}  // namespace

std::vector<int> allowed_cpus(int pid) { return pid == 0 ? initial_cpus() : affinity(pid); }

double cpu_quota(const fs::path& groups, const fs::path& membership) {
  double smallest = kNoQuota;
  for (const ControlGroup& group : control_groups(groups, membership, "cpu")) {
    smallest = std::min(smallest, group.unified ? quota_v2(group.folder) : quota_v1(group.folder));
  }
  return smallest;
}

HostCores host_cores() {
  HostCores cores;
  cores.cpus = one_cpu_per_core(allowed_cpus(0));
  if (cores.cpus.empty()) cores.cpus.push_back(0);
  cores.quota = cpu_quota();
  return cores;
}

HostCores host_cores_under_launcher() {
  HostCores cores = host_cores();
  cores.launcher_cores = static_cast<int>(one_cpu_per_core(allowed_cpus(::getppid())).size());
  return cores;
}

CoreShare share_cores(const HostCores& cores, const CoreRequest& request) {
  const int own = static_cast<int>(cores.cpus.size());
  const int ranks = std::max(1, request.ranks_on_host);
  // Ranks that are bound to fewer cores than their launcher has: so many share this set.
  const bool bound = cores.launcher_cores > own;
  const int sharers =
      bound ? std::max(1, (ranks * own + cores.launcher_cores - 1) / cores.launcher_cores) : ranks;
  const int slice = own / sharers;
  const double quota = std::max(1.0, std::floor(cores.quota / ranks));
  CoreShare share;
  share.threads = request.threads.value_or(
      static_cast<int>(std::min(quota, static_cast<double>(std::max(1, slice)))));
  if (!request.pin) {
    share.why_not_pinned = "pin_threads is false";
  } else if (share.threads > slice) {
    share.why_not_pinned = "more threads than cores";
  } else if (share.threads < slice) {
    share.why_not_pinned = "fewer threads than cores";
  } else if (bound && sharers > 1) {
    share.why_not_pinned = "the launcher gave several ranks the same cores";
  } else {
    const auto first = cores.cpus.begin() + (bound ? 0 : request.local_rank % ranks * slice);
    share.cpus.assign(first, first + slice);
  }
  return share;
}

void pin_thread(std::thread::native_handle_type thread, int cpu) {
  initial_cpus();
  CpuSet set;
  set.add(cpu);
  const int failure = ::pthread_setaffinity_np(thread, CpuSet::bytes(), set.get());
  if (failure != 0) {
    throw Error(ErrorKind::kIo, "cannot pin a thread to CPU " + std::to_string(cpu) + ": " +
                                    std::strerror(failure) + "; pin_threads: false leaves it free");
  }
}

void float_this_thread() {
  CpuSet set;
  for (const int cpu : initial_cpus()) set.add(cpu);
  // Refused only where CPUs have been taken away since; then it runs where it may.
  ::pthread_setaffinity_np(::pthread_self(), CpuSet::bytes(), set.get());
}

}  // namespace athanor

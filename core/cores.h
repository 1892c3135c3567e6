// Which physical cores this process may compute on, how the ranks of a host divide them, and
// threads that stay on one. Two threads on one core share its vector units, and a thread that moves
// leaves its cache behind.
#pragma once

#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace athanor {

// The logical CPUs that a process (0: this one, before any thread was pinned) may run on; empty
// when the system does not say.
std::vector<int> allowed_cpus(int pid);

// Of `cpus`, one for each physical core, neighbours (caches, memory) next to one another.
std::vector<int> one_cpu_per_core(const std::vector<int>& cpus);

inline constexpr double kNoQuota = std::numeric_limits<double>::infinity();

// CPUs' worth of time that the control groups of this process allow (both versions); kNoQuota where
// they set none or cannot be read.
double cpu_quota(const std::filesystem::path& groups = "/sys/fs/cgroup",
                 const std::filesystem::path& membership = "/proc/self/cgroup");

// The cores of a host, as one of its ranks sees them.
struct HostCores {
  std::vector<int> cpus;    // one of each core that this process may use
  int launcher_cores = 0;   // that the process which started it may use; 0: as many
  double quota = kNoQuota;  // of all ranks together
};

HostCores host_cores();
// Where mpirun or srun may have given each rank cores of its own.
HostCores host_cores_under_launcher();

struct CoreRequest {
  int ranks_on_host = 1;
  int local_rank = 0;
  std::optional<int> threads;  // of each rank, where the user has said it
  bool pin = true;
};

struct CoreShare {
  int threads = 1;
  std::vector<int> cpus;  // of its threads, one each; no other rank has them. Empty: not pinned
  std::string why_not_pinned;  // for people
};

// Equal, disjoint shares. Threads are pinned only where they fill the share: a few threads pinned
// to the first of many cores would meet those of any other program that does the same.
CoreShare share_cores(const HostCores& cores, const CoreRequest& request);

// Throws kIo when the system refuses.
void pin_thread(std::thread::native_handle_type thread, int cpu);
// For threads that mostly wait: they run on any core of the process, whoever made them.
void float_this_thread();

}  // namespace athanor

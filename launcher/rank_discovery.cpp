#include "launcher/rank_discovery.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/error.h"
#include "kernels/cpu/isa.h"

namespace athanor {
namespace {

int environment_int(const char* name, int fallback) {
  const char* text = std::getenv(name);
  if (text == nullptr) return fallback;
  int value = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), value);
  return error == std::errc() && value >= 0 ? value : fallback;
}

// Slurm has "4" or, for several hosts, "2(x3),1". The host's own number is not known then; the
// largest one is on the safe side for memory and cores.
int tasks_per_node(const char* name, int fallback) {
  const char* text = std::getenv(name);
  if (text == nullptr) return fallback;
  return largest_tasks_per_node(text).value_or(fallback);
}

constexpr char kLaunchRank[] = "ATHANOR_LAUNCH_RANK";
constexpr char kLaunchSockets[] = "ATHANOR_LAUNCH_SOCKETS";
constexpr char kLaunchCoordinator[] = "ATHANOR_LAUNCH_COORDINATOR";

std::string launcher_address() {
  const char* const address = std::getenv(kLaunchCoordinator);
  return address == nullptr ? "" : address;
}

[[noreturn]] void wrong_launch_environment(const char* name, const std::string& found) {
  throw Error(ErrorKind::kUsage,
              std::string(name) + ": found " + found +
                  ", needed what `athanor launch` sets; unset it to train alone");
}

ProcessRank launched_rank(const std::string& sockets) {
  ProcessRank process;
  process.coordinator = launcher_address();
  const char* at = sockets.data();
  const char* const end = at + sockets.size();
  while (true) {
    int socket = 0;
    const auto [next, error] = std::from_chars(at, end, socket);
    if (error != std::errc()) wrong_launch_environment(kLaunchSockets, sockets);
    process.sockets.push_back(socket);
    if (next == end) break;
    if (*next != ',') wrong_launch_environment(kLaunchSockets, sockets);
    at = next + 1;
  }
  process.world_size = static_cast<int>(process.sockets.size());
  process.ranks_on_host = process.world_size;
  process.rank = process.local_rank = environment_int(kLaunchRank, -1);
  if (process.rank < 0 || process.rank >= process.world_size) {
    wrong_launch_environment(kLaunchRank, std::to_string(process.rank));
  }
  for (int rank = 0; rank < process.world_size; ++rank) {
    struct stat status = {};
    const int socket = process.sockets[static_cast<size_t>(rank)];
    if (rank != process.rank && (::fstat(socket, &status) != 0 || !S_ISSOCK(status.st_mode))) {
      wrong_launch_environment(kLaunchSockets, sockets);
    }
  }
  return process;
}

}  // namespace

std::optional<int> largest_tasks_per_node(std::string_view text) {
  int largest = 0;
  while (true) {
    int tasks = 0;
    const auto [next, error] = std::from_chars(text.data(), text.data() + text.size(), tasks);
    if (error != std::errc() || tasks < 1) return std::nullopt;
    largest = std::max(largest, tasks);
    text.remove_prefix(static_cast<size_t>(next - text.data()));
    if (text.starts_with("(x")) {
      const size_t close = text.find(')');
      if (close == std::string_view::npos) return std::nullopt;
      text.remove_prefix(close + 1);
    }
    if (text.empty()) return largest;
    if (text[0] != ',') return std::nullopt;
    text.remove_prefix(1);
  }
}

std::vector<std::string> launch_environment(int rank, const std::vector<int>& sockets) {
  std::string list;
  for (const int socket : sockets) list += (list.empty() ? "" : ",") + std::to_string(socket);
  return {kLaunchRank + ("=" + std::to_string(rank)), kLaunchSockets + ("=" + list)};
}

std::string coordinator_environment(const std::string& socket) {
  return kLaunchCoordinator + ("=" + socket);
}

bool started_by_launch() { return std::getenv(kLaunchSockets) != nullptr; }

ProcessRank discover_process_rank() {
  if (const char* sockets = std::getenv(kLaunchSockets)) return launched_rank(sockets);
  struct Names {
    const char* rank;
    const char* size;
    const char* local_rank;
    const char* local_size;
  };
  static constexpr Names kLaunchers[] = {
      {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
       "OMPI_COMM_WORLD_LOCAL_SIZE"},
      {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
      {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"}};
  for (const Names& names : kLaunchers) {
    const int size = environment_int(names.size, 0);
    if (size < 1) continue;
    ProcessRank process;
    process.coordinator = launcher_address();
    process.world_size = size;
    process.rank = environment_int(names.rank, 0);
    process.ranks_on_host = std::clamp(tasks_per_node(names.local_size, size), 1, size);
    process.local_rank = environment_int(names.local_rank, process.rank % process.ranks_on_host);
    return process;
  }
  return {};
}

void apply_cpu_isa_cap() {
  const char* text = std::getenv("ATHANOR_MAX_CPU_ISA");
  if (text == nullptr) return;
  for (const CpuIsa isa : {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16}) {
    if (std::string(text) == cpu_isa_name(isa)) {
      limit_cpu_isa(isa);
      return;
    }
  }
  throw Error(ErrorKind::kUsage, std::string("ATHANOR_MAX_CPU_ISA: found ") + text +
                                     ", needed generic, avx2, avx512 or avx512_bf16");
}

}  // namespace athanor

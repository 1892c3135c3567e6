#include "launcher/rank_discovery.h"

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

}  // namespace

ProcessRank discover_process_rank() {
  struct Names {
    const char* rank;
    const char* size;
    const char* local_size;
  };
  static constexpr Names kLaunchers[] = {
      {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"},
      {"PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"},
      {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE"}};
  for (const Names& names : kLaunchers) {
    const int size = environment_int(names.size, 0);
    if (size < 1) continue;
    ProcessRank process;
    process.world_size = size;
    process.rank = environment_int(names.rank, 0);
    process.ranks_on_host = std::clamp(environment_int(names.local_size, size), 1, size);
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

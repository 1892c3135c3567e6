// Which rank this process is, from the environment that `athanor launch`, mpirun or srun sets. The
// only place that reads it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace athanor {

struct ProcessRank {
  int rank = 0;
  int world_size = 1;  // processes of the job
  int ranks_on_host = 1;
  int local_rank = 0;  // among those of the host
  // Started by `athanor launch`: the socket that leads to each rank, -1 for this one.
  std::vector<int> sockets;
  // Where its launcher listens (launcher/coordinator); empty without one, or on another host.
  std::string coordinator;

  bool launched() const { return !sockets.empty(); }
};

// `athanor launch` (ATHANOR_LAUNCH_*), Open MPI (OMPI_COMM_WORLD_*), PMI (PMI_*), Slurm steps
// (SLURM_PROCID, SLURM_STEP_NUM_TASKS).
ProcessRank discover_process_rank();
// Whether `athanor launch` started this process; valid after the sockets are closed, too.
bool started_by_launch();

// Slurm's numbers of tasks per node, "2(x3),1": the largest one; nothing when it is not such a
// text.
std::optional<int> largest_tasks_per_node(std::string_view text);

// NAME=value for a rank that `athanor launch` starts; it inherits `sockets`.
std::vector<std::string> launch_environment(int rank, const std::vector<int>& sockets);
// NAME=value for ranks of this host, however they are started.
std::string coordinator_environment(const std::string& socket);

// ATHANOR_MAX_CPU_ISA = generic | avx2 | avx512 | avx512_bf16 caps the vector instructions.
void apply_cpu_isa_cap();

}  // namespace athanor

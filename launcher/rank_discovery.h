// Which rank this process is, from the environment that mpirun or srun sets. The only place that
// reads it.
#pragma once

namespace athanor {

struct ProcessRank {
  int rank = 0;
  int world_size = 1;  // processes of the job
  int ranks_on_host = 1;
};

// Open MPI (OMPI_COMM_WORLD_*), PMI (PMI_*), Slurm steps (SLURM_PROCID, SLURM_STEP_NUM_TASKS).
ProcessRank discover_process_rank();

// ATHANOR_MAX_CPU_ISA = generic | avx2 | avx512 | avx512_bf16 caps the vector instructions.
void apply_cpu_isa_cap();

}  // namespace athanor

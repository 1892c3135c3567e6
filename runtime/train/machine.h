// What a plan has to know of a machine: rates, memory and how many ranks share a host.
#pragma once

#include <cstdint>
#include <string>

namespace athanor {

struct Machine {
  std::string name;
  int ranks_per_host = 0;  // 0: all ranks of the run
  double f32_flops = 0;    // FLOP/s of a rank's matrix products
  double bf16_flops = 0;
  double memory_bandwidth = 0;   // bytes/s
  double network_bandwidth = 0;  // bytes/s that a rank receives
  double disk_bandwidth = 0;     // bytes/s of a rank, reading and writing; 0: unknown
  int64_t memory_bytes = 0;      // that the ranks of a host may use
};

// `here` measures this machine for a fraction of a second; a profile's name (machines/*.yaml) or a
// YAML file with the fields of Machine is read. Errors are kConfig.
Machine load_machine(const std::string& name_or_file, int threads_per_rank);

// Round figures of one core of a CPU server. Where something is decided, measured rates would
// decide differently from run to run and from rank to rank.
Machine nominal_host();

}  // namespace athanor

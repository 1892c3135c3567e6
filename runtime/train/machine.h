// What a plan has to know of a machine: rates, memory and how many ranks share a host.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "core/dtype.h"

namespace athanor {

struct Machine {
  std::string name;
  int ranks_per_host = 0;  // 0: all ranks of the run
  double f32_flops = 0;    // FLOP/s of a rank's matrix products
  double bf16_flops = 0;
  double memory_bandwidth = 0;    // bytes/s
  double network_bandwidth = 0;   // bytes/s that a rank receives
  double disk_bandwidth = 0;      // bytes/s of a rank, reading and writing; 0: unknown
  int64_t memory_bytes = 0;       // that the ranks of a host may use
  std::string memory_limited_by;  // in messages: what it comes from

  double flops(DType dtype) const { return dtype == DType::kF32 ? f32_flops : bf16_flops; }
};

// The least time of an operation, or of the sum of some (Cost, CostSum), on a rank's cores.
template <class AnyCost>
double compute_floor(const AnyCost& cost, double flops_rate, double bandwidth) {
  const auto bytes = static_cast<double>(cost.bytes_read + cost.bytes_written);
  return std::max(cost.flops / flops_rate, bytes / bandwidth);
}
// On a link, a disk's too: the larger direction fills it.
template <class AnyCost>
double link_floor(const AnyCost& cost, double bandwidth) {
  return static_cast<double>(std::max(cost.bytes_read, cost.bytes_written)) / bandwidth;
}

// `here` measures this machine for a fraction of a second; a profile's name (machines/*.yaml) or a
// YAML file with the fields of Machine is read. Errors are kConfig.
Machine load_machine(const std::string& name_or_file, int threads_per_rank);

// Round figures of one core of a CPU server. Where something is decided, measured rates would
// decide differently from run to run and from rank to rank.
Machine nominal_host();

}  // namespace athanor

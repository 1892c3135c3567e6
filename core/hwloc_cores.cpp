// Chosen by CMake where hwloc was found.
#include <hwloc.h>

#include <algorithm>

#include "core/cores.h"

namespace athanor {

std::vector<int> one_cpu_per_core(const std::vector<int>& cpus) {
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) != 0) return cpus;
  std::vector<int> chosen;
  std::vector<int> left = cpus;
  if (hwloc_topology_load(topology) == 0) {
    const int cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
    for (int i = 0; i < cores; ++i) {
      const hwloc_obj_t core =
          hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, static_cast<unsigned>(i));
      const auto outside = std::stable_partition(left.begin(), left.end(), [&](int cpu) {
        return hwloc_bitmap_isset(core->cpuset, static_cast<unsigned>(cpu)) != 0;
      });
      if (outside != left.begin()) chosen.push_back(left.front());
      left.erase(left.begin(), outside);
    }
  }
  hwloc_topology_destroy(topology);
  // Machines that do not show their cores: each CPU counts.
  chosen.insert(chosen.end(), left.begin(), left.end());
  return chosen;
}

}  // namespace athanor

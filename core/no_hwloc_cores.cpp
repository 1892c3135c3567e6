// Chosen by CMake where hwloc was not found or is switched off: the kernel's list of the CPUs that
// share a core, in the order of their numbers.
#include <fstream>
#include <set>
#include <string>

#include "core/cores.h"

namespace athanor {

std::vector<int> one_cpu_per_core(const std::vector<int>& cpus) {
  std::vector<int> chosen;
  std::set<std::string> seen;
  for (const int cpu : cpus) {
    const std::string number = std::to_string(cpu);
    std::ifstream file("/sys/devices/system/cpu/cpu" + number + "/topology/thread_siblings_list");
    std::string siblings;
    if (!std::getline(file, siblings)) siblings = number;
    if (seen.insert(siblings).second) chosen.push_back(cpu);
  }
  return chosen;
}

}  // namespace athanor

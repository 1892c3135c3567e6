// The machine profiles that are part of the program: text of runtime/train/machines/*.yaml.
#pragma once

#include <string>
#include <vector>

namespace athanor {

struct MachineProfile {
  std::string name;
  std::string yaml;
};

const std::vector<MachineProfile>& machine_profiles();

}  // namespace athanor

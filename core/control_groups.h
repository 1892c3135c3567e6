// The control groups around this process: where their limits are read.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace athanor {

struct ControlGroup {
  std::filesystem::path folder;  // may not exist: a container sees part of the path only
  bool unified = false;          // version 2
};

// Of `controller` ("cpu", "memory") in version 1 and of version 2, also mixed: every group from the
// mount's root down to the process's own; the limits of a group hold for the groups inside it.
// `mounts` is /sys/fs/cgroup, `membership` /proc/self/cgroup with lines "id:controllers:path".
std::vector<ControlGroup> control_groups(const std::filesystem::path& mounts,
                                         const std::filesystem::path& membership,
                                         std::string_view controller);

}  // namespace athanor

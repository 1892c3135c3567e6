#include "core/control_groups.h"

#include <fstream>
#include <string>

namespace athanor {
namespace {

namespace fs = std::filesystem;

// What lies outside of this process's view (..) ends the way.
void add_way(const fs::path& mount, const std::string& path, bool unified,
             std::vector<ControlGroup>& groups) {
  fs::path folder = mount;
  groups.push_back({folder, unified});
  for (const fs::path& part : fs::path(path).relative_path()) {
    if (part == "..") return;
    folder /= part;
    groups.push_back({folder, unified});
  }
}

}  // namespace

std::vector<ControlGroup> control_groups(const fs::path& mounts, const fs::path& membership,
                                         std::string_view controller) {
  std::vector<ControlGroup> groups;
  const std::string name(controller);
  std::ifstream stream(membership);
  for (std::string line; std::getline(stream, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      add_way(mounts, path, true, groups);
      add_way(mounts / "unified", path, true, groups);  // beside version 1
    } else if (("," + controllers + ",").find("," + name + ",") != std::string::npos) {
      add_way(mounts / name, path, false, groups);
      if (controllers != name) add_way(mounts / controllers, path, false, groups);  // cpu,cpuacct
    }
  }
  return groups;
}

}  // namespace athanor

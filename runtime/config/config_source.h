// Where values come from: the YAML file and key=value overrides, flattened to one map from dotted
// keys to plain values. The only user of yaml-cpp is its .cpp. Internal to runtime/config.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/config/config_problems.h"

namespace athanor::config_detail {

// What stands at a key. Blocks are flattened, so their keys never appear here.
struct ConfigValue {
  enum class Kind { kScalar, kList, kMap, kOther };

  Kind kind = Kind::kOther;
  std::string scalar;                                        // kScalar
  std::vector<std::string> items;                            // kList, of scalars only
  std::vector<std::pair<std::string, std::string>> entries;  // kMap, of scalars only
  std::string shown;                                         // for messages, one line
};

using ConfigValues = std::map<std::string, ConfigValue>;

// Null values are left out, so they mean the default. Unknown and duplicate keys, and files that
// are not such a map, become problems.
ConfigValues read_config_values(const std::filesystem::path& path,
                                std::span<const std::string> overrides, Problems& problems);

}  // namespace athanor::config_detail

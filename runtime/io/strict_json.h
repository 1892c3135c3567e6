// JSON from files of unknown origin: no duplicate keys at any level, bounded depth and node count,
// and messages that stay on one line whatever the file holds. Internal to .cpp
// files (of any folder) and to internal headers: it includes nlohmann/json.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace athanor {

struct JsonLimits {
  int max_depth = 64;
  int64_t max_nodes = 8'000'000;
};

// Throws Error(kBadInput) that begins with `origin` (a path).
nlohmann::json parse_strict_json(std::string_view text, const std::string& origin,
                                 const JsonLimits& limits = {});

// Text from a file for use in a message: in quotes, control characters escaped, at most 120 bytes.
std::string in_quotes(std::string_view text);

// A JSON value for use in a message, shortened in the same way.
std::string shown(const nlohmann::json& value);

}  // namespace athanor

// Scalars of a config as numbers, sizes and lists, and the distance between key names. Nothing here
// knows YAML. Internal to runtime/config.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace athanor::config_detail {

std::string_view trimmed(std::string_view text);
std::string lowered(std::string_view text);  // ASCII

// true, false, yes, no, on, off in any case.
std::optional<bool> parse_bool(std::string_view text);
std::optional<int64_t> parse_int(std::string_view text);
// Finite only; 1e-4, 1.0e-4, .5 and +1.
std::optional<double> parse_real(std::string_view text);
// 1024, 16GiB, 1.5 GB: binary with i, decimal without.
std::optional<int64_t> parse_bytes(std::string_view text);

// Splits at commas and trims; empty pieces go away.
std::vector<std::string> split_commas(std::string_view text);
// Has a character that no module name has.
bool is_pattern(std::string_view text);

// Shortest text that reads back as the same double.
std::string format_real(double value);
// In double quotes, with YAML's escapes; at most `limit` bytes of text when limit > 0.
std::string in_quotes(std::string_view text, size_t limit = 0);

// Insertions, deletions, replacements and swaps of neighbours.
int64_t edit_distance(std::string_view a, std::string_view b);

}  // namespace athanor::config_detail

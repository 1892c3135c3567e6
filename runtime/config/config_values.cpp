// Parsing by std::from_chars: no locale, whole text or nothing.
#include "runtime/config/config_values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>

namespace athanor::config_detail {
namespace {

template <class T>
std::optional<T> parse_whole(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::string lowered(std::string_view text) {
  std::string result(text);
  for (char& character : result) {
    if (character >= 'A' && character <= 'Z') character = static_cast<char>(character - 'A' + 'a');
  }
  return result;
}

std::optional<bool> parse_bool(std::string_view text) {
  const std::string word = lowered(trimmed(text));
  if (word == "true" || word == "yes" || word == "on") return true;
  if (word == "false" || word == "no" || word == "off") return false;
  return std::nullopt;
}

std::optional<int64_t> parse_int(std::string_view text) { return parse_whole<int64_t>(text); }

std::optional<double> parse_real(std::string_view text) {
  const std::optional<double> value = parse_whole<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::optional<int64_t> parse_bytes(std::string_view text) {
  text = trimmed(text);
  if (const std::optional<int64_t> plain = parse_int(text)) return plain;
  const size_t unit_begin = text.find_first_not_of("0123456789.");
  if (unit_begin == 0 || unit_begin == std::string_view::npos) return std::nullopt;
  const std::optional<double> number = parse_real(text.substr(0, unit_begin));
  const std::string unit = lowered(trimmed(text.substr(unit_begin)));
  if (!number) return std::nullopt;
  double factor = 1.0;
  if (unit != "b") {
    constexpr std::string_view kPrefixes = "kmgtp";
    const size_t power = kPrefixes.find(unit.front());
    const std::string rest = unit.substr(1);
    if (power == std::string_view::npos || (rest != "ib" && rest != "b")) return std::nullopt;
    factor = std::pow(rest == "ib" ? 1024.0 : 1000.0, static_cast<double>(power + 1));
  }
  const double bytes = *number * factor;
  if (bytes >= 0x1p63) return std::nullopt;
  return static_cast<int64_t>(bytes);
}

std::vector<std::string> split_commas(std::string_view text) {
  std::vector<std::string> pieces;
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view piece = trimmed(text.substr(0, comma));
    if (!piece.empty()) pieces.emplace_back(piece);
    if (comma == std::string_view::npos) return pieces;
    text.remove_prefix(comma + 1);
  }
}

bool is_pattern(std::string_view text) {
  return text.find_first_of("\\^$*+?()[]{}|") != std::string_view::npos;
}

std::string format_real(double value) {
  char text[64];
  const auto result = std::to_chars(text, text + sizeof text, value);
  std::string formatted(text, result.ptr);
  // 1e-05 and 3 would be a string and an integer to other YAML readers.
  if (formatted.find_first_of(".e") == std::string::npos) formatted += ".0";
  const size_t exponent = formatted.find('e');
  if (exponent != std::string::npos && formatted.find('.') == std::string::npos) {
    formatted.insert(exponent, ".0");
  }
  return formatted;
}

std::string in_quotes(std::string_view text, size_t limit) {
  const bool cut = limit > 0 && text.size() > limit;
  if (cut) {
    while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0u) == 0x80u) --limit;
    text = text.substr(0, limit);
  }
  std::string result = "\"";
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte < 0x20 || byte == 0x7f) {
      constexpr char kDigits[] = "0123456789abcdef";
      result += "\\x";
      result += kDigits[byte >> 4];
      result += kDigits[byte & 15];
      continue;
    }
    if (character == '"' || character == '\\') result += '\\';
    result += character;
  }
  return result + (cut ? "…\"" : "\"");
}

int64_t edit_distance(std::string_view a, std::string_view b) {
  const size_t width = b.size() + 1;
  std::vector<int64_t> table((a.size() + 1) * width);
  const auto at = [&](size_t i, size_t j) -> int64_t& { return table[i * width + j]; };
  for (size_t i = 0; i <= a.size(); ++i) at(i, 0) = static_cast<int64_t>(i);
  for (size_t j = 0; j <= b.size(); ++j) at(0, j) = static_cast<int64_t>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const int64_t replace = at(i - 1, j - 1) + (a[i - 1] == b[j - 1] ? 0 : 1);
      at(i, j) = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        at(i, j) = std::min(at(i, j), at(i - 2, j - 2) + 1);
      }
    }
  }
  return at(a.size(), b.size());
}

}  // namespace athanor::config_detail

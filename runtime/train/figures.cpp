#include "runtime/train/figures.h"

#include <cmath>
#include <cstdio>
#include <iterator>

namespace athanor {

std::string human(double value, const char* unit) {
  static constexpr const char* kSmall[] = {"", "m", "u", "n"};
  static constexpr const char* kLarge[] = {"", "k", "M", "G", "T", "P"};
  size_t prefix = 0;
  const bool small = value > 0 && value < 1;
  if (small) {
    while (value < 1 && prefix + 1 < std::size(kSmall)) {
      value *= 1000;
      ++prefix;
    }
  } else {
    while (value >= 1000 && prefix + 1 < std::size(kLarge)) {
      value /= 1000;
      ++prefix;
    }
  }
  char text[64];
  std::snprintf(text, sizeof text, "%.4g %s%s", value, small ? kSmall[prefix] : kLarge[prefix],
                unit);
  return text;
}

std::string binary_bytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (value /= 1024; value >= 1024 && unit + 1 < std::size(kUnits); value /= 1024) ++unit;
  char text[64];
  std::snprintf(text, sizeof text, "%.*f %s",
                value < 10    ? 3
                : value < 100 ? 2
                              : 1,
                value, kUnits[unit]);
  return text;
}

std::string number_text(double value) { return std::isnan(value) ? "nan" : std::to_string(value); }

std::string column(const std::string& text, size_t width) {
  return text + std::string(text.size() < width ? width - text.size() : 1, ' ');
}

}  // namespace athanor

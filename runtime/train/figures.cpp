#include "runtime/train/figures.h"

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

std::string gibibytes(int64_t bytes) {
  char text[64];
  std::snprintf(text, sizeof text, "%.3f GiB", static_cast<double>(bytes) / (1 << 30));
  return text;
}

std::string column(const std::string& text, size_t width) {
  return text + std::string(text.size() < width ? width - text.size() : 1, ' ');
}

}  // namespace athanor

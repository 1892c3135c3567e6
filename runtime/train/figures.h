// Numbers as tables and messages show them.
#pragma once

#include <cstdint>
#include <string>

namespace athanor {

// Four digits with a decimal prefix: human(1.5e9, "B") is "1.5 GB".
std::string human(double value, const char* unit);
// In the largest binary unit that is not above it: "1.500 GiB", "30.25 MiB", "17 B".
std::string binary_bytes(int64_t bytes);
// With six decimals; "nan" has no sign.
std::string number_text(double value);
// Text in a column of `width`, at least one space behind it.
std::string column(const std::string& text, size_t width);

}  // namespace athanor

// Numbers as tables and messages show them.
#pragma once

#include <cstdint>
#include <string>

namespace athanor {

// Four digits with a decimal prefix: human(1.5e9, "B") is "1.5 GB".
std::string human(double value, const char* unit);
std::string gibibytes(int64_t bytes);  // "1.500 GiB"
// Text in a column of `width`, at least one space behind it.
std::string column(const std::string& text, size_t width);

}  // namespace athanor

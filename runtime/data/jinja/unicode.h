// Text as Python's str sees it: code points, their properties, case. All text here is valid UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/data/jinja/unicode_tables.h"

namespace athanor::jinja {

bool contains(CharacterSet set, char32_t c);
bool is_space(char32_t c);  // str.isspace of one character

std::u32string to_code_points(std::string_view text);
std::string to_utf8(std::u32string_view text);
int64_t count_characters(std::string_view text);

std::string lower(std::string_view text);
std::string upper(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);  // str.title, not the filter of that name
std::string swapcase(std::string_view text);

}  // namespace athanor::jinja

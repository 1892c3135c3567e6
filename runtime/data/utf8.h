// UTF-8 primitives of the tokenizer: validity, one character at a time, lossy repair.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace athanor {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

// One step over possibly broken UTF-8. `length` is 1..4 and never reaches past the text. For a
// broken sequence valid is false and `length` covers its maximal well-formed start (Unicode 3.9,
// "substitution of maximal subparts"), which is what becomes one U+FFFD.
struct Utf8Step {
  char32_t code_point = 0;
  int64_t length = 0;
  bool valid = false;
};
Utf8Step utf8_step_beyond_ascii(std::string_view text, int64_t at);
inline Utf8Step utf8_step(std::string_view text, int64_t at) {
  const auto lead = static_cast<unsigned char>(text[static_cast<size_t>(at)]);
  return lead < 0x80 ? Utf8Step{lead, 1, true} : utf8_step_beyond_ascii(text, at);
}

// Byte offset of the first broken sequence.
std::optional<int64_t> first_invalid_utf8(std::string_view text);

// Bytes of the character that starts with this byte, in text known to be valid.
int64_t utf8_length(char lead);

std::string utf8_encode(char32_t code_point);
std::string utf8_lossy(std::string_view bytes);

// For messages of one line: control characters escaped, at most `max_characters` characters.
std::string in_quotes(std::string_view text, int64_t max_characters = 60);

}  // namespace athanor

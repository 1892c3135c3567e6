// Printable Latin-1 bytes stand for themselves, the other 68 for U+0100 onwards.
#include "runtime/data/byte_level.h"

#include <array>

#include "runtime/data/utf8.h"

namespace athanor {
namespace {

constexpr bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr int kAlphabetEnd = 256 + 68;

struct Alphabet {
  std::array<std::string, 256> characters;
  std::array<int, kAlphabetEnd> bytes;  // by code point, -1 where none

  Alphabet() {
    bytes.fill(-1);
    int next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const int code_point = stands_for_itself(byte) ? byte : next++;
      characters[byte] = utf8_encode(static_cast<char32_t>(code_point));
      bytes[code_point] = byte;
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet table;
  return table;
}

}  // namespace

const std::string& byte_level_character(uint8_t byte) { return alphabet().characters[byte]; }

std::optional<std::string> byte_level_bytes(std::string_view token) {
  const Alphabet& table = alphabet();
  std::string out;
  for (int64_t at = 0; at < static_cast<int64_t>(token.size());) {
    const Utf8Step step = utf8_step(token, at);
    if (!step.valid || step.code_point >= kAlphabetEnd || table.bytes[step.code_point] < 0) {
      return std::nullopt;
    }
    out.push_back(static_cast<char>(table.bytes[step.code_point]));
    at += step.length;
  }
  return out;
}

AlignedText to_byte_level(const AlignedText& text) {
  AlignedTextBuilder builder(text);
  for (int64_t at = 0; at < text.size();) {
    // All bytes of a character stand for the whole character.
    const int64_t end = at + utf8_length(text.text()[at]);
    const ByteSpan character{at, end};
    for (; at < end; ++at) {
      builder.put(byte_level_character(static_cast<uint8_t>(text.text()[at])), character);
    }
  }
  return std::move(builder).finish();
}

}  // namespace athanor

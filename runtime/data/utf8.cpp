// UTF-8 primitives; the decoder follows table 3-7 of the Unicode standard.
#include "runtime/data/utf8.h"

#include <cstring>

namespace athanor {
namespace {

bool in_range(unsigned char byte, unsigned low, unsigned high) {
  return byte >= low && byte <= high;
}

}  // namespace

Utf8Step utf8_step_beyond_ascii(std::string_view text, int64_t at) {
  const auto byte = [&](int64_t i) { return static_cast<unsigned char>(text[i]); };
  const int64_t size = static_cast<int64_t>(text.size());
  const unsigned char lead = byte(at);
  int64_t length = 0;
  unsigned low = 0x80;
  unsigned high = 0xBF;
  char32_t code_point = 0;
  if (in_range(lead, 0xC2, 0xDF)) {
    length = 2;
    code_point = lead & 0x1Fu;
  } else if (in_range(lead, 0xE0, 0xEF)) {
    length = 3;
    code_point = lead & 0x0Fu;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (in_range(lead, 0xF0, 0xF4)) {
    length = 4;
    code_point = lead & 0x07u;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {0, 1, false};
  }
  for (int64_t i = 1; i < length; ++i) {
    if (at + i >= size || !in_range(byte(at + i), low, high)) return {0, i, false};
    code_point = (code_point << 6) | (byte(at + i) & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return {code_point, length, true};
}

std::optional<int64_t> first_invalid_utf8(std::string_view text) {
  const int64_t size = static_cast<int64_t>(text.size());
  for (int64_t at = 0; at < size;) {
    uint64_t eight = 0;
    if (at + 8 <= size) {
      std::memcpy(&eight, text.data() + at, sizeof(eight));
      if ((eight & 0x8080808080808080) == 0) {
        at += 8;
        continue;
      }
    }
    const Utf8Step step = utf8_step(text, at);
    if (!step.valid) return at;
    at += step.length;
  }
  return std::nullopt;
}

int64_t utf8_length(char lead) {
  const unsigned char byte = static_cast<unsigned char>(lead);
  if (byte < 0xC0) return 1;
  if (byte < 0xE0) return 2;
  return byte < 0xF0 ? 3 : 4;
}

std::string utf8_encode(char32_t code_point) {
  std::string out;
  const auto put = [&](char32_t value) { out.push_back(static_cast<char>(value)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
  return out;
}

std::string utf8_lossy(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  const int64_t size = static_cast<int64_t>(bytes.size());
  for (int64_t at = 0; at < size;) {
    const Utf8Step step = utf8_step(bytes, at);
    out += step.valid ? bytes.substr(at, step.length) : kReplacementCharacter;
    at += step.length;
  }
  return out;
}

std::string in_quotes(std::string_view text, int64_t max_characters) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  const int64_t size = static_cast<int64_t>(text.size());
  int64_t characters = 0;
  for (int64_t at = 0; at < size; ++characters) {
    if (characters == max_characters) {
      out += "…";
      break;
    }
    const Utf8Step step = utf8_step(text, at);
    const char32_t c = step.code_point;
    if (!step.valid) {
      out += kReplacementCharacter;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20 || c == 0x7F) {
      out += "\\x";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out += text.substr(at, step.length);
    }
    at += step.length;
  }
  return out + "\"";
}

}  // namespace athanor

// GPT-2's printable alphabet for bytes: each byte is one character of tokens and merges.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/data/aligned_text.h"

namespace athanor {

// The character (UTF-8) that stands for a byte.
const std::string& byte_level_character(uint8_t byte);

// Bytes of a token written in that alphabet; nullopt when a character is not part of it.
std::optional<std::string> byte_level_bytes(std::string_view token);

// Every byte of the text as the character that stands for it.
AlignedText to_byte_level(const AlignedText& text);

}  // namespace athanor

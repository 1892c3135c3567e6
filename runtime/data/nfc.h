// Is a text in Unicode normal form C? The quick check of UAX #15: a text it passes needs no
// normalisation; one it does not pass may need it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace athanor {

// Byte offset of the first character that may have to change. `text` must be valid UTF-8.
std::optional<int64_t> first_maybe_not_nfc(std::string_view text);

}  // namespace athanor

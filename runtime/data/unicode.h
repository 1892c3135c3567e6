// Properties of characters that tokenizer components ask for, and the Unicode normal forms. Data
// comes from utf8proc. Internal to runtime/data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/data/aligned_text.h"

namespace athanor {

bool is_white_space(char32_t c);  // the property White_Space
bool is_number(char32_t c);       // general category N*
// General category P*, and the ASCII signs that C calls punctuation ($ + < = > ^ ` | ~).
bool is_punctuation(char32_t c);
bool is_mark(char32_t c);             // M*
bool is_mark_nonspacing(char32_t c);  // Mn
bool is_other(char32_t c);            // Cc, Cf, Cs, Co: not what is unassigned
bool is_word_character(char32_t c);   // \w of UTS #18: alphabetic, marks, Nd, Pc, join controls
std::string lowercase(char32_t c);    // the full mapping, without context

std::string unicode_version();  // of the tables

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// Only stretches that change are rewritten; each stands for all bytes it came from.
AlignedText normalize_unicode(AlignedText text, NormalForm form);

// Byte length of the grapheme cluster that begins at `at` (UAX #29, extended).
int64_t grapheme_length(std::string_view text, int64_t at);

}  // namespace athanor

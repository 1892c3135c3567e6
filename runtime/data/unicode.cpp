// utf8proc behind the functions of unicode.h. Normal forms work on stretches between boundaries: a
// character that is a starter and is never the second of a composition begins a stretch.
#include "runtime/data/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "core/error.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

constexpr char32_t kCodePoints = 0x110000;

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool between(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

constexpr uint8_t kDecomposes = 1;        // has a canonical decomposition
constexpr uint8_t kDecomposesCompat = 2;  // has any decomposition
constexpr uint8_t kJoinsPrevious = 4;     // not a starter, or may be the second of a composition

// What a normal form has to know about each character, by code point.
std::vector<uint8_t> make_traits() {
  std::vector<uint8_t> traits(kCodePoints, 0);
  std::vector<char32_t> decomposing;
  utf8proc_int32_t parts[32];
  int bound_class = 0;
  const auto decompose = [&](char32_t c, int options) {
    return utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 32,
                                   static_cast<utf8proc_option_t>(options), &bound_class);
  };
  for (char32_t c = 0x80; c < kCodePoints; ++c) {
    const auto* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
    if (property->combining_class != 0) traits[c] |= kJoinsPrevious;
    const bool hangul = between(c, 0xAC00, 0xD7A3);
    if (!hangul && property->decomp_seqindex == UINT16_MAX) continue;
    decomposing.push_back(c);
    traits[c] |= kDecomposesCompat;
    const auto count = decompose(c, UTF8PROC_DECOMPOSE);
    if (count == 1 && parts[0] == static_cast<utf8proc_int32_t>(c)) continue;
    traits[c] |= kDecomposes;
    for (utf8proc_ssize_t i = 1; i < count; ++i) traits[parts[i]] |= kJoinsPrevious;
  }
  // What decomposes into something that joins joins itself.
  for (const char32_t c : decomposing) {
    for (const int options : {int{UTF8PROC_DECOMPOSE}, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT}) {
      const auto count = decompose(c, options);
      if (count > 0 && (traits[parts[0]] & kJoinsPrevious) != 0) traits[c] |= kJoinsPrevious;
    }
  }
  return traits;
}

const std::vector<uint8_t>& traits() {
  static const std::vector<uint8_t> table = make_traits();
  return table;
}

std::string normalized(std::string_view text, int options) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto size = static_cast<utf8proc_ssize_t>(text.size());
  const auto flags = static_cast<utf8proc_option_t>(options);
  std::vector<utf8proc_int32_t> buffer(text.size() * 4 + 8);
  while (true) {
    const utf8proc_ssize_t count = utf8proc_decompose(
        bytes, size, buffer.data(), static_cast<utf8proc_ssize_t>(buffer.size()), flags);
    ATHANOR_CHECK(count >= 0, utf8proc_errmsg(count));
    if (count <= static_cast<utf8proc_ssize_t>(buffer.size())) {
      buffer.resize(static_cast<size_t>(count));
      break;
    }
    buffer.resize(static_cast<size_t>(count));
  }
  if ((options & UTF8PROC_COMPOSE) != 0) {
    const utf8proc_ssize_t count = utf8proc_normalize_utf32(
        buffer.data(), static_cast<utf8proc_ssize_t>(buffer.size()), flags);
    ATHANOR_CHECK(count >= 0, utf8proc_errmsg(count));
    buffer.resize(static_cast<size_t>(count));
  }
  std::string out;
  for (const utf8proc_int32_t c : buffer) out += utf8_encode(static_cast<char32_t>(c));
  return out;
}

int options_of(NormalForm form) {
  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const bool compat = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  return UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
         (compat ? UTF8PROC_COMPAT : 0);
}

}  // namespace

bool is_white_space(char32_t c) {
  return between(c, 9, 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         between(c, 0x2000, 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_number(char32_t c) {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL ||
         kind == UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) {
    return between(c, 0x21, 0x2F) || between(c, 0x3A, 0x40) || between(c, 0x5B, 0x60) ||
           between(c, 0x7B, 0x7E);
  }
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

bool is_mark(char32_t c) {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_MN && kind <= UTF8PROC_CATEGORY_ME;
}

bool is_mark_nonspacing(char32_t c) { return category(c) == UTF8PROC_CATEGORY_MN; }

bool is_other(char32_t c) {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_CC && kind <= UTF8PROC_CATEGORY_CO;
}

bool is_word_character(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:  // letters in circles and squares are alphabetic signs
      return c == 0x200C || c == 0x200D || between(c, 0x24B6, 0x24E9) ||
             between(c, 0x1F130, 0x1F149) || between(c, 0x1F150, 0x1F169) ||
             between(c, 0x1F170, 0x1F189);
  }
}

std::string lowercase(char32_t c) {
  if (c == 0x130) return "i\xCC\x87";  // the one character whose lower case is two
  return utf8_encode(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

AlignedText normalize_unicode(AlignedText text, NormalForm form) {
  const std::string_view all = text.text();
  if (std::all_of(all.begin(), all.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
    return text;
  }
  const bool compat = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  const uint8_t changes = compat ? kDecomposesCompat : kDecomposes;
  const std::vector<uint8_t>& table = traits();
  std::optional<AlignedTextBuilder> builder;  // made when something changes
  int64_t kept = 0;
  int64_t begin = 0;
  bool may_change = false;
  const auto end_stretch = [&](int64_t end) {
    if (may_change) {
      const std::string_view before = all.substr(begin, end - begin);
      const std::string after = normalized(before, options_of(form));
      if (after != before) {
        if (!builder) builder.emplace(text);
        builder->keep({kept, begin});
        builder->put(after, {begin, end});
        kept = end;
      }
    }
    begin = end;
    may_change = false;
  };
  for (int64_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(all, at);
    const uint8_t trait = table[step.code_point];
    if ((trait & kJoinsPrevious) == 0) end_stretch(at);
    const bool joins = (trait & kJoinsPrevious) != 0;
    may_change = may_change || (trait & changes) != 0 || joins;
    at += step.length;
  }
  end_stretch(text.size());
  if (!builder) return text;
  builder->keep({kept, text.size()});
  return std::move(*builder).finish();
}

int64_t grapheme_length(std::string_view text, int64_t at) {
  utf8proc_int32_t state = 0;
  Utf8Step step = utf8_step(text, at);
  int64_t end = at + step.length;
  while (end < static_cast<int64_t>(text.size())) {
    const Utf8Step next = utf8_step(text, end);
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(step.code_point),
                                         static_cast<utf8proc_int32_t>(next.code_point), &state)) {
      break;
    }
    step = next;
    end += next.length;
  }
  return end - at;
}

std::string unicode_version() { return utf8proc_unicode_version(); }

}  // namespace athanor

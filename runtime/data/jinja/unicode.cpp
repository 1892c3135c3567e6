// Properties by binary search in the tables, and case mapping with the rule for the final sigma.
#include "runtime/data/jinja/unicode.h"

#include <algorithm>

#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

constexpr char32_t kSigma = 0x3A3;
constexpr char32_t kFinalSigma = 0x3C2;
constexpr char32_t kSmallSigma = 0x3C3;

template <class Run>
const Run* find_run(std::span<const Run> runs, char32_t c) {
  const auto after =
      std::upper_bound(runs.begin(), runs.end(), c,
                       [](char32_t value, const Run& run) { return value < run.first; });
  if (after == runs.begin()) return nullptr;
  const Run& run = *(after - 1);
  if (c <= run.last && (c - run.first) % run.step == 0) return &run;
  return nullptr;
}

void append_mapped(const CharacterMapping& mapping, char32_t c, std::u32string& out) {
  if (const MappingRun* run = find_run(mapping.runs, c)) {
    out.push_back(static_cast<char32_t>(static_cast<int64_t>(c) + run->delta));
    return;
  }
  const auto special = std::lower_bound(
      mapping.specials.begin(), mapping.specials.end(), c,
      [](const SpecialMapping& entry, char32_t value) { return entry.from < value; });
  if (special == mapping.specials.end() || special->from != c || c == 0) {
    out.push_back(c);
    return;
  }
  for (const uint32_t to : special->to) {
    if (to != 0) out.push_back(to);
  }
}

// A sigma ends a word when a cased letter is before it and none is behind it.
bool is_final_sigma(std::u32string_view text, size_t at) {
  const auto next_letter = [&](int64_t i, int64_t direction) {
    for (i += direction; i >= 0 && i < static_cast<int64_t>(text.size()); i += direction) {
      if (!contains(kCaseIgnorable, text[i])) return contains(kCased, text[i]);
    }
    return false;
  };
  const int64_t place = static_cast<int64_t>(at);
  return next_letter(place, -1) && !next_letter(place, 1);
}

void append_lower(std::u32string_view text, size_t at, std::u32string& out) {
  if (text[at] == kSigma) {
    out.push_back(is_final_sigma(text, at) ? kFinalSigma : kSmallSigma);
  } else {
    append_mapped(kToLower, text[at], out);
  }
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

bool contains(CharacterSet set, char32_t c) { return find_run(set, c) != nullptr; }

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::u32string to_code_points(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  const int64_t size = static_cast<int64_t>(text.size());
  for (int64_t at = 0; at < size;) {
    const Utf8Step step = utf8_step(text, at);
    out.push_back(step.valid ? step.code_point : U'\uFFFD');
    at += step.length;
  }
  return out;
}

std::string to_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t c : text) {
    if (c < 0x80) {
      out.push_back(static_cast<char>(c));
    } else {
      out += utf8_encode(c);
    }
  }
  return out;
}

int64_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::string lower(std::string_view text) {
  if (is_ascii(text)) {
    std::string out(text);
    for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return out;
  }
  const std::u32string points = to_code_points(text);
  std::u32string out;
  for (size_t i = 0; i < points.size(); ++i) append_lower(points, i, out);
  return to_utf8(out);
}

std::string upper(std::string_view text) {
  std::u32string out;
  for (const char32_t c : to_code_points(text)) append_mapped(kToUpper, c, out);
  return to_utf8(out);
}

std::string capitalize(std::string_view text) {
  const std::u32string points = to_code_points(text);
  std::u32string out;
  for (size_t i = 0; i < points.size(); ++i) {
    if (i == 0) {
      append_mapped(kToTitle, points[i], out);
    } else {
      append_lower(points, i, out);
    }
  }
  return to_utf8(out);
}

std::string title(std::string_view text) {
  const std::u32string points = to_code_points(text);
  std::u32string out;
  bool in_word = false;
  for (size_t i = 0; i < points.size(); ++i) {
    if (in_word) {
      append_lower(points, i, out);
    } else {
      append_mapped(kToTitle, points[i], out);
    }
    in_word = contains(kCased, points[i]);
  }
  return to_utf8(out);
}

std::string swapcase(std::string_view text) {
  const std::u32string points = to_code_points(text);
  std::u32string out;
  for (size_t i = 0; i < points.size(); ++i) {
    if (contains(kUpper, points[i])) {
      append_lower(points, i, out);
    } else if (contains(kLower, points[i])) {
      append_mapped(kToUpper, points[i], out);
    } else {
      out.push_back(points[i]);
    }
  }
  return to_utf8(out);
}

}  // namespace athanor::jinja

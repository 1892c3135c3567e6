// Python's operations on text, and the methods of str that search and ask.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/data/jinja/call.h"
#include "runtime/data/jinja/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {

// What to strip; none: white space.
std::string strip(const std::string& text, const Value& characters, bool left, bool right) {
  const std::u32string points = to_code_points(text);
  const std::u32string set = characters.is_string() ? to_code_points(characters.string()) : U"";
  const auto goes = [&](char32_t c) {
    return characters.is_string() ? set.find(c) != std::u32string::npos : is_space(c);
  };
  size_t begin = 0;
  size_t end = points.size();
  while (left && begin < end && goes(points[begin])) ++begin;
  while (right && end > begin && goes(points[end - 1])) --end;
  return to_utf8(std::u32string_view(points).substr(begin, end - begin));
}

std::string replace(Run& run, const std::string& text, const std::string& from,
                    const std::string& to, int64_t count) {
  std::string out;
  size_t at = 0;
  if (from.empty()) {  // before each character and at the end
    for (; count != 0; --count) {
      run.memory(static_cast<int64_t>(to.size()) + 1);
      out += to;
      if (at >= text.size()) break;
      const size_t length = static_cast<size_t>(utf8_length(text[at]));
      out.append(text, at, length);
      at += length;
    }
    return at < text.size() ? out + text.substr(at) : out;
  }
  for (size_t next = text.find(from); next != std::string::npos && count != 0;
       next = text.find(from, at), --count) {
    out.append(text, at, next - at);
    out += to;
    at = next + from.size();
    run.memory(static_cast<int64_t>(to.size()));
  }
  return out + text.substr(at);
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string> lines;
  std::string line;
  const std::u32string points = to_code_points(text);
  for (size_t i = 0; i < points.size(); ++i) {
    const char32_t c = points[i];
    const bool ends = (c >= 0xA && c <= 0xD) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                      c == 0x2028 || c == 0x2029;
    if (!ends || keep_ends) line += utf8_encode(c);
    if (!ends) continue;
    if (c == '\r' && i + 1 < points.size() && points[i + 1] == '\n') {
      ++i;
      if (keep_ends) line += '\n';
    }
    lines.push_back(std::exchange(line, ""));
  }
  if (!line.empty()) lines.push_back(std::move(line));
  return lines;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string pad(Run& run, const std::string& text, int64_t width, char32_t fill, char align) {
  const int64_t missing = width - count_characters(text);
  if (missing <= 0) return text;
  run.memory(missing > run.limits().bytes / 4 ? run.limits().bytes + 1 : missing * 4);
  // str.center puts the odd one to the left when the width is odd, format ('c') never.
  int64_t left = align == '<' ? 0 : align == '>' ? missing : missing / 2;
  if (align == '^') left += missing & width & 1;
  const auto fills = [&](int64_t count) {
    return to_utf8(std::u32string(static_cast<size_t>(count), fill));
  };
  return fills(left) + text + fills(missing - left);
}

std::optional<int64_t> parse_integer(Run& run, std::string_view text, int64_t base) {
  std::string digits = strip(std::string(text), Value::none(), true, true);
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.erase(0, 1);
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  if (digits.size() > 1 && digits[0] == '0') {
    const char kind = static_cast<char>(digits[1] | 0x20);
    const int64_t named = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (named != 0 && (base == named || base == 0)) {
      base = named;
      digits.erase(0, digits.size() > 2 && digits[2] == '_' ? 3 : 2);
    } else if (base == 0 && digits.find_first_not_of("0_") != std::string::npos) {
      return std::nullopt;
    }
  }
  if (base == 0) base = 10;
  if (digits.empty() || digits.front() == '_' || digits.back() == '_' ||
      digits.find("__") != std::string::npos)
    return std::nullopt;
  if (std::any_of(digits.begin(), digits.end(), [](char c) { return (c & 0x80) != 0; }))
    run.fail("int: characters outside ASCII are not supported");
  std::erase(digits, '_');
  if (digits.front() == '-' || digits.front() == '+') return std::nullopt;
  digits.insert(0, negative ? "-" : "");
  int64_t number = 0;
  const char* end = digits.data() + digits.size();
  const auto done = std::from_chars(digits.data(), end, number, static_cast<int>(base));
  if (done.ptr != end) return std::nullopt;
  if (done.ec == std::errc::result_out_of_range)
    run.fail("int: " + in_quotes(text) + " has more than 64 bits");
  if (done.ec != std::errc()) return std::nullopt;
  return number;
}

std::optional<double> parse_float(std::string_view text) {
  std::string digits = lower(strip(std::string(text), Value::none(), true, true));
  for (size_t i = 0; i < digits.size(); ++i) {
    const auto digit = [&](size_t at) {
      return at < digits.size() && digits[at] >= '0' && digits[at] <= '9';
    };
    if (digits[i] == '_' && (i == 0 || !digit(i - 1) || !digit(i + 1))) return std::nullopt;
  }
  std::erase(digits, '_');
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.erase(0, 1);
  if (digits.empty() || digits[0] == '-' || digits[0] == '+' || digits.find('(') < digits.size())
    return std::nullopt;
  double number = 0;
  const char* end = digits.data() + digits.size();
  const auto done = std::from_chars(digits.data(), end, number);
  if (done.ptr != end) return std::nullopt;
  if (done.ec == std::errc::result_out_of_range) number = std::strtod(digits.c_str(), nullptr);
  return negative ? -number : number;
}

namespace {

bool any_prefix(Call& c, const Value& what, std::string_view text, bool front) {
  if (what.is(Kind::kTuple)) {
    return std::any_of(what.items().begin(), what.items().end(),
                       [&](const Value& v) { return any_prefix(c, v, text, front); });
  }
  if (!what.is_string()) c.fail("expected a string, found " + c.run.type_name(what));
  return front ? text.starts_with(what.string()) : text.ends_with(what.string());
}

// The part of the text that the arguments start and end ask for, and where it begins.
struct Part {
  std::string text;
  int64_t begin = 0;
  bool outside = false;  // start is behind the end: not even "" is found
};
Part part_of(Call& c) {
  if (!c.has(1) && !c.has(2)) return {c.self.string(), 0, false};
  const int64_t size = c.self.text().characters();
  const auto place = [&](size_t i, int64_t fallback) {
    const int64_t at = c.get(i).is_none() ? fallback : c.integer(i, fallback);
    return at < 0 ? std::max<int64_t>(0, at + size) : at;
  };
  const int64_t begin = place(1, 0);
  const int64_t end = std::min(place(2, size), size);
  if (begin > end) return {"", begin, true};
  const Value piece = c.run.slice(c.self, Value(begin), Value(end), Value::none());
  return {piece.string(), begin, false};
}

Value starts_method(Call& c) {
  const Part part = part_of(c);
  return Value(!part.outside && any_prefix(c, c.get(0), part.text, c.name == "startswith"));
}

Value find_method(Call& c) {
  const Part part = part_of(c);
  const bool right = c.name[0] == 'r';
  const size_t at = part.outside ? std::string::npos
                    : right      ? part.text.rfind(c.string(0))
                                 : part.text.find(c.string(0));
  c.string(0);
  if (at != std::string::npos)
    return Value(part.begin + count_characters(std::string_view(part.text).substr(0, at)));
  if (c.name.ends_with("index")) c.fail("substring not found");
  return Value(int64_t{-1});
}

Value count_method(Call& c) {
  const Part part = part_of(c);
  const std::string& what = c.string(0);
  if (part.outside) return Value(int64_t{0});
  if (what.empty()) return Value(count_characters(part.text) + 1);
  int64_t count = 0;
  for (size_t i = part.text.find(what); i != std::string::npos;
       i = part.text.find(what, i + what.size()))
    ++count;
  return Value(count);
}

bool is_alnum(char32_t c) {
  return contains(kAlpha, c) || contains(kDecimal, c) || contains(kDigit, c) ||
         contains(kNumeric, c);
}

// isalpha and the like: not empty, and each character has the property.
Value property_method(Call& c) {
  const std::u32string points = to_code_points(c.self.string());
  const auto all = [&](auto&& property) {
    return Value(std::all_of(points.begin(), points.end(), property));
  };
  if (c.name == "isascii") return all([](char32_t p) { return p < 0x80; });
  if (c.name == "isprintable") return all([](char32_t p) { return contains(kPrintable, p); });
  if (points.empty()) return Value(false);
  if (c.name == "isspace") return all(is_space);
  if (c.name == "isalnum") return all(is_alnum);
  const CharacterSet set = c.name == "isalpha"     ? kAlpha
                           : c.name == "isdecimal" ? kDecimal
                           : c.name == "isdigit"   ? kDigit
                                                   : kNumeric;
  return all([&](char32_t p) { return contains(set, p); });
}

// islower, isupper: some letter with case, and none of the other cases. istitle: words begin with
// capitals and go on without.
Value case_question(Call& c) {
  bool some = false, previous = false;
  for (const char32_t p : to_code_points(c.self.string())) {
    const bool small = contains(kLower, p);
    const bool capital = contains(kUpper, p);
    const bool mixed = contains(kTitle, p);
    const bool bad = c.name == "islower"   ? capital || mixed
                     : c.name == "isupper" ? small || mixed
                     : previous            ? capital || mixed
                                           : small;
    if (bad) return Value(false);
    some = some || (c.name == "islower" ? small : capital || (c.name == "istitle" && mixed));
    previous = small || capital || mixed;
  }
  return Value(some);
}

constexpr Builtin kSearchMethods[] = {
    {"startswith", starts_method, 1, "_ _ _"}, {"endswith", starts_method, 1, "_ _ _"},
    {"find", find_method, 1, "_ _ _"},         {"rfind", find_method, 1, "_ _ _"},
    {"index", find_method, 1, "_ _ _"},        {"rindex", find_method, 1, "_ _ _"},
    {"count", count_method, 1, "_ _ _"},       {"isalpha", property_method, 0, ""},
    {"isalnum", property_method, 0, ""},       {"isdigit", property_method, 0, ""},
    {"isdecimal", property_method, 0, ""},     {"isnumeric", property_method, 0, ""},
    {"isspace", property_method, 0, ""},       {"isascii", property_method, 0, ""},
    {"isprintable", property_method, 0, ""},   {"islower", case_question, 0, ""},
    {"isupper", case_question, 0, ""},         {"istitle", case_question, 0, ""}};

}  // namespace

std::span<const Builtin> string_search_methods() { return kSearchMethods; }

}  // namespace athanor::jinja

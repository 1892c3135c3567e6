// Filters on text and numbers, and what a value becomes as text.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/data/jinja/call.h"
#include "runtime/data/jinja/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

bool is_safe(const Value& value) { return value.is_string() && value.text().safe; }

Value default_filter(Call& c) {
  const bool use = c.self.is_undefined() || (c.flag(1) && !c.run.truth(c.self));
  return use ? c.get(0, Value(std::string())) : c.self;
}

Value tojson_filter(Call& c) {
  JsonStyle style;
  style.ascii = c.flag(0);
  style.sorted = c.flag(3);
  const Value indent = c.get(1);
  if (!indent.is_none()) {
    style.pretty = true;
    style.item_end = ",";
    if (indent.is_string()) {
      style.indent = indent.string();
    } else {
      const int64_t width = c.integer(1, 0);
      if (width > 64) c.fail("an indent of more than 64");
      style.indent.assign(static_cast<size_t>(std::max<int64_t>(0, width)), ' ');
    }
  }
  const Value ends = c.get(2);
  if (!ends.is_none()) {
    if (!ends.is_sequence() || ends.items().size() != 2 || !ends.items()[0].is_string() ||
        !ends.items()[1].is_string())
      c.fail("separators must be two strings");
    style.item_end = ends.items()[0].string();
    style.key_end = ends.items()[1].string();
  }
  return c.run.text(c.run.json(c.self, style));
}

Value trim_filter(Call& c) {
  if (c.has(0) && !c.get(0).is_none()) c.string(0);
  return c.run.text(strip(c.run.str(c.self), c.get(0), true, true), is_safe(c.self));
}

Value replace_filter(Call& c) {
  const int64_t count = c.get(2).is_none() ? -1 : c.integer(2, -1);
  return c.run.text(
      replace(c.run, c.run.str(c.self), c.run.str(c.get(0)), c.run.str(c.get(1)), count));
}

Value string_filter(Call& c) { return c.self.is_string() ? c.self : c.run.text(c.run.str(c.self)); }

Value case_filter(Call& c) {
  const std::string s = c.run.str(c.self);
  return c.run.text(c.name == "upper"   ? upper(s)
                    : c.name == "lower" ? lower(s)
                                        : capitalize(s),
                    is_safe(c.self));
}

// Words begin after white space and - ( { [ <.
Value title_filter(Call& c) {
  std::u32string word;
  std::string out;
  const auto flush = [&] {
    if (word.empty()) return;
    out += upper(to_utf8(word.substr(0, 1))) + lower(to_utf8(word.substr(1)));
    word.clear();
  };
  bool between = false;
  for (const char32_t p : to_code_points(c.run.str(c.self))) {
    const bool separator =
        is_space(p) || std::u32string_view(U"-({[<").find(p) != std::u32string_view::npos;
    if (separator != between) flush();
    between = separator;
    word.push_back(p);
  }
  flush();
  return c.run.text(std::move(out));
}

Value escape_filter(Call& c) {
  if (c.name == "safe") return c.run.text(c.run.str(c.self), true);
  if (is_safe(c.self) && c.name != "forceescape") return c.self;
  return c.run.text(escape_html(c.run.str(c.self)), true);
}

Value indent_filter(Call& c) {
  if (!c.self.is_string()) c.fail("expected a string, found " + c.run.type_name(c.self));
  std::string by;
  if (c.get(0).is_string()) {
    by = c.string(0);
  } else {
    const int64_t width = c.integer(0, 4);
    if (width > 4096) c.fail("a width of more than 4096");
    by.assign(static_cast<size_t>(std::max<int64_t>(0, width)), ' ');
  }
  std::string out;
  bool first = true;
  for (const std::string& line : split_lines(c.self.string() + "\n", false)) {
    if (!first) out += "\n";
    if (first ? c.flag(1) : c.flag(2) || !line.empty()) out += by;
    out += line;
    c.run.memory(static_cast<int64_t>(by.size()));
    first = false;
  }
  return c.run.text(std::move(out), is_safe(c.self));
}

Value wordcount_filter(Call& c) {
  int64_t words = 0;
  bool inside = false;
  for (const char32_t p : to_code_points(c.run.str(c.self))) {
    const bool word = p == '_' || contains(kAlpha, p) || contains(kDecimal, p) ||
                      contains(kDigit, p) || contains(kNumeric, p);
    words += word && !inside;
    inside = word;
  }
  return Value(words);
}

Value center_filter(Call& c) {
  return c.run.text(pad(c.run, c.run.str(c.self), c.integer(0, 80), ' ', '^'), is_safe(c.self));
}

Value truncate_filter(Call& c) {
  if (c.self.is_undefined()) return c.self;
  if (!c.self.is_string()) c.fail("expected a string, found " + c.run.type_name(c.self));
  const std::u32string s = to_code_points(c.run.str(c.self));
  const std::u32string end = to_code_points(c.has(2) ? c.string(2) : "...");
  const int64_t length = c.integer(0, 255);
  const int64_t leeway = c.get(3).is_none() ? 5 : c.integer(3, 5);
  if (length < static_cast<int64_t>(end.size())) c.fail("the length is below that of the end");
  if (leeway < 0) c.fail("leeway is negative");
  if (static_cast<int64_t>(s.size()) <= length + leeway) return string_filter(c);
  std::u32string kept = s.substr(0, static_cast<size_t>(length) - end.size());
  if (!c.flag(1)) {
    const size_t blank = kept.rfind(U' ');
    if (blank != std::u32string::npos) kept.resize(blank);
  }
  return c.run.text(to_utf8(kept + end), is_safe(c.self));
}

Value format_filter(Call& c) {
  if (!c.all.positional.empty() && !c.all.named.empty())
    c.fail("positional and named arguments at the same time");
  const Value format = string_filter(c);
  if (c.all.named.empty()) return c.run.format_percent(format, c.run.tuple(c.all.positional));
  Dict dict;
  for (const auto& [key, value] : c.all.named) dict.set(key, value);
  return c.run.format_percent(format, Value(std::move(dict)));
}

Value int_filter(Call& c) {
  const int64_t base = c.integer(1, 10);
  const Value fallback = c.get(0, Value(int64_t{0}));
  if (c.self.is_integer()) return Value(c.self.integer());
  std::optional<double> real;
  if (c.self.is_string()) {
    if (const auto whole = parse_integer(c.run, c.self.string(), base)) return Value(*whole);
    real = parse_float(c.self.string());
  } else if (c.self.is(Kind::kFloat)) {
    real = c.self.real();
  } else {
    c.run.require_defined(c.self);
  }
  if (!real || !std::isfinite(*real)) return fallback;
  if (std::fabs(*real) >= 9.2e18) c.fail("an integer with more than 64 bits");
  return Value(static_cast<int64_t>(*real));
}

Value float_filter(Call& c) {
  if (c.self.is_number()) return Value(c.self.real());
  c.run.require_defined(c.self);
  std::optional<double> real;
  if (c.self.is_string()) real = parse_float(c.self.string());
  return real ? Value(*real) : c.get(0, Value(0.0));
}

Value abs_filter(Call& c) {
  if (!c.self.is_number()) c.fail("expected a number, found " + c.run.type_name(c.self));
  if (c.self.is(Kind::kFloat)) return Value(std::fabs(c.self.real()));
  const Value whole(c.self.integer());
  return c.self.integer() < 0 ? c.run.binary("-", Value(int64_t{0}), whole) : whole;
}

// Half to even on the exact decimal expansion, as Python's round.
double round_half_even(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 300) return value;
  if (digits < 0) {
    const double power = std::pow(10.0, static_cast<double>(-digits));
    return std::nearbyint(value / power) * power;
  }
  char buffer[700];
  const auto text = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed,
                                  static_cast<int>(digits));
  double out = 0;
  std::from_chars(buffer, text.ptr, out);
  return out;
}

Value round_filter(Call& c) {
  if (!c.self.is_number()) c.fail("expected a number, found " + c.run.type_name(c.self));
  const int64_t digits = c.integer(0, 0);
  const std::string method = c.has(1) ? c.string(1) : "common";
  if (method != "common" && method != "ceil" && method != "floor")
    c.fail("method must be common, ceil or floor");
  if (method == "common") {
    if (!c.self.is_integer()) return Value(round_half_even(c.self.real(), digits));
    if (digits < 0) c.fail("a negative precision of an integer is not supported");
    return Value(c.self.integer());
  }
  const double power = std::pow(10.0, static_cast<double>(digits));
  const double scaled = c.self.real() * power;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / power);
}

constexpr Builtin kFilters[] = {
    {"default", default_filter, 0, "default_value boolean"},
    {"d", default_filter, 0, "default_value boolean"},
    {"tojson", tojson_filter, 0, "ensure_ascii indent separators sort_keys"},
    {"trim", trim_filter, 0, "chars"},
    {"replace", replace_filter, 2, "old new count"},
    {"string", string_filter, 0, ""},
    {"upper", case_filter, 0, ""},
    {"lower", case_filter, 0, ""},
    {"capitalize", case_filter, 0, ""},
    {"title", title_filter, 0, ""},
    {"safe", escape_filter, 0, ""},
    {"escape", escape_filter, 0, ""},
    {"e", escape_filter, 0, ""},
    {"forceescape", escape_filter, 0, ""},
    {"indent", indent_filter, 0, "width first blank"},
    {"wordcount", wordcount_filter, 0, ""},
    {"center", center_filter, 0, "width"},
    {"truncate", truncate_filter, 0, "length killwords end leeway"},
    {"format", format_filter, 0, "*"},
    {"int", int_filter, 0, "default base"},
    {"float", float_filter, 0, "default"},
    {"abs", abs_filter, 0, ""},
    {"round", round_filter, 0, "precision method"}};

}  // namespace

std::span<const Builtin> text_filters() { return kFilters; }

Value Run::filter(const std::string& name, const Value& value, const Arguments& all) {
  const Builtin* known = find_builtin(text_filters(), name);
  if (known == nullptr) known = find_builtin(list_filters(), name);
  if (known == nullptr) fail("the filter " + in_quotes(name) + " is not supported");
  step(value.is_string() ? 1 + static_cast<int64_t>(value.string().size()) / 64 : 1);
  Call call{
      *this, value, name, all,
      bind_arguments(*this, "the filter " + in_quotes(name), known->least, known->parameters, all)};
  return known->body(call);
}

}  // namespace athanor::jinja

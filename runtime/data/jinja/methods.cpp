// Methods of str, dict, list and tuple.
#include <algorithm>

#include "runtime/data/jinja/call.h"
#include "runtime/data/jinja/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

// The text a method gives: of a Markup, Markup again.
Value same_kind(Call& c, std::string text) {
  return c.run.text(std::move(text), c.self.text().safe);
}
std::string argument_text(Call& c, size_t i) {
  const std::string& text = c.string(i);
  return c.self.text().safe && !c.bound[i].text().safe ? escape_html(text) : text;
}

Value strip_method(Call& c) {
  if (c.has(0) && !c.get(0).is_none()) c.string(0);
  return same_kind(c, strip(c.self.string(), c.get(0), c.name != "rstrip", c.name != "lstrip"));
}

// By white space: from the left or, mirrored, from the right.
List split_blanks(Call& c, int64_t most, bool right) {
  std::u32string points = to_code_points(c.self.string());
  if (right) std::reverse(points.begin(), points.end());
  List parts;
  for (size_t i = 0; i < points.size();) {
    if (is_space(points[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    if (most == 0) {
      end = points.size();
      while (is_space(points[end - 1])) --end;
    } else {
      while (end < points.size() && !is_space(points[end])) ++end;
    }
    std::u32string part = points.substr(i, end - i);
    if (right) std::reverse(part.begin(), part.end());
    parts.push_back(same_kind(c, to_utf8(part)));
    if (most-- == 0) break;
    i = end;
  }
  if (right) std::reverse(parts.begin(), parts.end());
  return parts;
}

Value split_method(Call& c) {
  const int64_t most = c.integer(1, -1);
  const bool right = c.name == "rsplit";
  if (c.get(0).is_none()) return c.run.list(split_blanks(c, most, right));
  const std::string& by = c.string(0);
  const std::string& s = c.self.string();
  if (by.empty()) c.fail("empty separator");
  List parts;
  size_t begin = 0, end = s.size();
  for (int64_t left = most; left != 0; --left) {
    const size_t at = right ? s.substr(0, end).rfind(by) : s.find(by, begin);
    if (at == std::string::npos) break;
    if (right) {
      c.run.step(static_cast<int64_t>(end) / 64);
      parts.push_back(same_kind(c, s.substr(at + by.size(), end - at - by.size())));
      end = at;
    } else {
      parts.push_back(same_kind(c, s.substr(begin, at - begin)));
      begin = at + by.size();
    }
  }
  parts.push_back(same_kind(c, s.substr(begin, end - begin)));
  if (right) std::reverse(parts.begin(), parts.end());
  return c.run.list(std::move(parts));
}

Value replace_method(Call& c) {
  const std::string to = argument_text(c, 1);
  return same_kind(c, replace(c.run, c.self.string(), c.string(0), to, c.integer(2, -1)));
}

Value join_method(Call& c) {
  std::string out;
  bool first = true;
  for (const Value& part : c.run.iterate(c.get(0))) {
    if (!part.is_string()) c.fail("expected strings, found " + c.run.type_name(part));
    if (!first) out += c.self.string();
    out += c.self.text().safe && !part.text().safe ? escape_html(part.string()) : part.string();
    c.run.memory(static_cast<int64_t>(c.self.string().size() + part.string().size()));
    first = false;
  }
  return same_kind(c, std::move(out));
}

Value case_method(Call& c) {
  const std::string& s = c.self.string();
  if (c.name == "upper") return same_kind(c, upper(s));
  if (c.name == "lower") return same_kind(c, lower(s));
  if (c.name == "title") return same_kind(c, title(s));
  if (c.name == "swapcase") return same_kind(c, swapcase(s));
  return same_kind(c, capitalize(s));
}

Value splitlines_method(Call& c) {
  List lines;
  for (std::string& line : split_lines(c.self.string(), c.flag(0)))
    lines.push_back(same_kind(c, std::move(line)));
  return c.run.list(std::move(lines));
}

Value remove_method(Call& c) {
  std::string_view s = c.self.string();
  const std::string& part = c.string(0);
  if (c.name == "removeprefix" && s.starts_with(part)) s.remove_prefix(part.size());
  if (c.name == "removesuffix" && s.ends_with(part)) s.remove_suffix(part.size());
  return same_kind(c, std::string(s));
}

Value partition_method(Call& c) {
  const std::string& s = c.self.string();
  const std::string& by = c.string(0);
  if (by.empty()) c.fail("empty separator");
  const bool right = c.name == "rpartition";
  const size_t at = right ? s.rfind(by) : s.find(by);
  if (at == std::string::npos) {
    const Value none = same_kind(c, "");
    return right ? c.run.tuple({none, none, c.self}) : c.run.tuple({c.self, none, none});
  }
  return c.run.tuple(
      {same_kind(c, s.substr(0, at)), same_kind(c, by), same_kind(c, s.substr(at + by.size()))});
}

Value pad_method(Call& c) {
  char32_t fill = ' ';
  if (c.has(1)) {
    const std::u32string points = to_code_points(c.string(1));
    if (points.size() != 1) c.fail("the fill character must be one character");
    fill = points[0];
  }
  const char align = c.name == "ljust" ? '<' : c.name == "rjust" ? '>' : '^';
  return same_kind(c, pad(c.run, c.self.string(), c.integer(0, 0), fill, align));
}

Value zfill_method(Call& c) {
  const std::string& s = c.self.string();
  const bool sign = s.starts_with('-') || s.starts_with('+');
  const int64_t width = c.integer(0, 0) - (sign ? 1 : 0);
  return same_kind(c,
                   s.substr(0, sign ? 1 : 0) + pad(c.run, s.substr(sign ? 1 : 0), width, '0', '>'));
}

Value format_method(Call& c) {
  if (c.self.text().safe) c.fail("of a Markup is not supported");
  return c.run.format_braces(c.self, c.all);
}

constexpr Builtin kStringMethods[] = {{"strip", strip_method, 0, "_"},
                                      {"lstrip", strip_method, 0, "_"},
                                      {"rstrip", strip_method, 0, "_"},
                                      {"split", split_method, 0, "sep maxsplit"},
                                      {"rsplit", split_method, 0, "sep maxsplit"},
                                      {"splitlines", splitlines_method, 0, "keepends"},
                                      {"upper", case_method, 0, ""},
                                      {"lower", case_method, 0, ""},
                                      {"title", case_method, 0, ""},
                                      {"capitalize", case_method, 0, ""},
                                      {"swapcase", case_method, 0, ""},
                                      {"replace", replace_method, 2, "_ _ count"},
                                      {"join", join_method, 1, "_"},
                                      {"removeprefix", remove_method, 1, "_"},
                                      {"removesuffix", remove_method, 1, "_"},
                                      {"partition", partition_method, 1, "_"},
                                      {"rpartition", partition_method, 1, "_"},
                                      {"ljust", pad_method, 1, "_ _"},
                                      {"rjust", pad_method, 1, "_ _"},
                                      {"center", pad_method, 1, "_ _"},
                                      {"zfill", zfill_method, 1, "_"},
                                      {"format", format_method, 0, "*"}};

Value dict_get(Call& c) {
  const Value key = c.get(0);
  if (!is_hashable(key)) c.fail("a " + c.run.type_name(key) + " cannot be a key");
  const Value* value = c.self.dict().find(key);
  return value != nullptr ? *value : c.get(1);
}

Value dict_view(Call& c) {
  List items;
  for (const auto& [key, value] : c.self.dict().entries()) {
    items.push_back(c.name == "keys"     ? key
                    : c.name == "values" ? value
                                         : Value::tuple({key, value}));
  }
  c.run.memory(static_cast<int64_t>(items.size()) * 128);
  return Value(std::shared_ptr<Object>(std::make_shared<View>("dict_" + c.name, std::move(items))));
}

Value copy(Call& c) { return c.self; }

constexpr Builtin kDictMethods[] = {{"get", dict_get, 1, "_ _"},
                                    {"items", dict_view, 0, ""},
                                    {"keys", dict_view, 0, ""},
                                    {"values", dict_view, 0, ""},
                                    {"copy", copy, 0, ""}};

Value list_count(Call& c) {
  const List& items = c.self.items();
  return Value(static_cast<int64_t>(std::count_if(
      items.begin(), items.end(), [&](const Value& v) { return c.run.equal(v, c.get(0)); })));
}

Value list_index(Call& c) {
  const List& items = c.self.items();
  const int64_t size = static_cast<int64_t>(items.size());
  const auto place = [&](size_t i, int64_t fallback) {
    const int64_t at = c.integer(i, fallback);
    return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size);
  };
  for (int64_t i = place(1, 0); i < place(2, size); ++i) {
    if (c.run.equal(items[static_cast<size_t>(i)], c.get(0))) return Value(i);
  }
  c.fail("the value is not in the " + c.run.type_name(c.self));
}

constexpr Builtin kListMethods[] = {
    {"count", list_count, 1, "_"}, {"index", list_index, 1, "_ _ _"}, {"copy", copy, 0, ""}};

// What Python has and this interpreter lacks: an error, not an undefined value.
constexpr std::string_view kLackingString[] = {"casefold",  "encode",     "expandtabs", "maketrans",
                                               "translate", "format_map", "striptags",  "unescape"};
constexpr std::string_view kChangesDict[] = {"clear", "pop", "popitem", "setdefault", "update"};
constexpr std::string_view kChangesList[] = {"append", "clear",  "extend",  "insert",
                                             "pop",    "remove", "reverse", "sort"};

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const Builtin* find_method(const Value& self, std::string_view name) {
  if (self.is_string()) {
    const Builtin* known = find_builtin(kStringMethods, name);
    return known != nullptr ? known : find_builtin(string_search_methods(), name);
  }
  if (self.is(Kind::kDict)) return find_builtin(kDictMethods, name);
  if (!self.is_sequence() || (self.is(Kind::kTuple) && name == "copy")) return nullptr;
  return find_builtin(kListMethods, name);
}

}  // namespace

bool changes(const Value& self, std::string_view name) {
  return (self.is(Kind::kDict) && is_one_of(name, kChangesDict)) ||
         (self.is(Kind::kList) && is_one_of(name, kChangesList));
}

bool is_attribute_of(const Value& self, std::string_view name) {
  return find_method(self, name) != nullptr || changes(self, name) ||
         (self.is_string() && is_one_of(name, kLackingString)) ||
         (self.is(Kind::kDict) && name == "fromkeys");
}

Value Run::method(const Value& self, const std::string& name, const Arguments& all) {
  const Builtin* known = find_method(self, name);
  if (known == nullptr)
    fail("the method " + in_quotes(name) + " of " + type_name(self) + " is not supported");
  if (self.is_string()) step(1 + static_cast<int64_t>(self.string().size()) / 64);
  Call call{
      *this, self, name, all,
      bind_arguments(*this, "the method " + in_quotes(name), known->least, known->parameters, all)};
  return known->body(call);
}

}  // namespace athanor::jinja

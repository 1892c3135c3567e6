// Methods of str and dict, filters and tests.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <initializer_list>
#include <span>

#include "runtime/data/jinja/run.h"
#include "runtime/data/jinja/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return is_one_of(name, std::span(names.begin(), names.size()));
}

// What to strip; null: white space.
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
  if (from.empty()) run.fail("replace: an empty string to look for is not supported");
  std::string out;
  size_t at = 0;
  for (size_t next = text.find(from); next != std::string::npos && count != 0;
       next = text.find(from, at), --count) {
    out.append(text, at, next - at);
    out += to;
    at = next + from.size();
    run.memory(static_cast<int64_t>(to.size()));
  }
  return out + text.substr(at);
}

List split(Run& run, const std::string& text, const Value& separator, int64_t most) {
  List parts;
  if (separator.is_none()) {
    const std::u32string points = to_code_points(text);
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
      parts.push_back(run.text(to_utf8(std::u32string_view(points).substr(i, end - i))));
      if (most-- == 0) break;
      i = end;
    }
    return parts;
  }
  const std::string& by = separator.string();
  if (by.empty()) run.fail("split: empty separator");
  size_t at = 0;
  for (size_t next = text.find(by); next != std::string::npos && most != 0;
       next = text.find(by, at), --most) {
    parts.push_back(run.text(text.substr(at, next - at)));
    at = next + by.size();
  }
  parts.push_back(run.text(text.substr(at)));
  return parts;
}

bool any_prefix(Run& run, const Value& what, const std::string& text, bool front) {
  if (what.is(Kind::kTuple)) {
    return std::any_of(what.items().begin(), what.items().end(),
                       [&](const Value& v) { return any_prefix(run, v, text, front); });
  }
  if (!what.is_string())
    run.fail("startswith and endswith need a string, found " + run.type_name(what));
  return front ? text.starts_with(what.string()) : text.ends_with(what.string());
}

constexpr std::string_view kStringMethods[] = {
    "strip", "lstrip", "rstrip",     "split",   "startswith", "endswith", "upper",
    "lower", "title",  "capitalize", "replace", "join",       "find",     "count"};
constexpr std::string_view kDictMethods[] = {"items", "keys", "values", "get"};
// What Python has and this interpreter lacks: an error, not an undefined value.
constexpr std::string_view kMissing[] = {
    "casefold",     "center",    "encode",    "expandtabs",  "format",       "format_map",
    "index",        "isalnum",   "isalpha",   "isascii",     "isdecimal",    "isdigit",
    "isidentifier", "islower",   "isnumeric", "isprintable", "isspace",      "istitle",
    "isupper",      "ljust",     "maketrans", "partition",   "removeprefix", "removesuffix",
    "rfind",        "rindex",    "rjust",     "rpartition",  "rsplit",       "splitlines",
    "swapcase",     "translate", "zfill"};
constexpr std::string_view kMissingDict[] = {"copy",    "fromkeys",   "clear", "pop",
                                             "popitem", "setdefault", "update"};
constexpr std::string_view kMissingList[] = {"count",  "index", "append", "extend",
                                             "insert", "pop",   "remove", "reverse",
                                             "sort",   "clear", "copy"};

}  // namespace

bool is_method(const Value& self, std::string_view name) {
  if (self.is_string()) return is_one_of(name, kStringMethods) || is_one_of(name, kMissing);
  if (self.is(Kind::kDict)) return is_one_of(name, kDictMethods) || is_one_of(name, kMissingDict);
  return self.is_sequence() && is_one_of(name, kMissingList);
}

Value Run::method(const Value& self, const std::string& name, const Arguments& all) {
  const auto at = [&](size_t i) { return argument(all, i, ""); };
  const auto string_at = [&](size_t i) -> std::string {
    const Value value = at(i);
    if (!value.is_string()) fail(name + ": expected a string, found " + type_name(value));
    return value.string();
  };
  if (!all.named.empty() && name != "split")
    fail("the method " + in_quotes(name) + " takes no named arguments");
  if (self.is(Kind::kDict)) {
    List items;
    if (name == "get") {
      check_arguments(all, 2, {}, name);
      const Value key = at(0);
      if (!is_hashable(key)) fail("a " + type_name(key) + " cannot be a key");
      const Value* value = self.dict().find(key);
      return value != nullptr ? *value : at(1);
    }
    check_arguments(all, 0, {}, name);
    if (!is_one_of(name, kDictMethods))
      fail("the method " + in_quotes(name) + " of dict is not supported");
    for (const auto& [key, value] : self.dict().entries()) {
      items.push_back(name == "keys" ? key : name == "values" ? value : tuple({key, value}));
    }
    return list(std::move(items));
  }
  if (!self.is_string() || !is_one_of(name, kStringMethods)) {
    fail("the method " + in_quotes(name) + " of " + type_name(self) + " is not supported");
  }
  const std::string& s = self.string();
  step(static_cast<int64_t>(s.size()) / 64);
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    check_arguments(all, 1, {}, name);
    if (!at(0).is_none()) string_at(0);
    return text(strip(s, at(0), name != "rstrip", name != "lstrip"));
  }
  if (name == "split") {
    check_arguments(all, 2, {"sep", "maxsplit"}, name);
    const Value most = argument(all, 1, "maxsplit", Value(int64_t{-1}));
    const Value by = argument(all, 0, "sep");
    if (!most.is_integer() || !(by.is_string() || by.is_none()))
      fail("split: expected a string and an integer");
    return list(split(*this, s, by, most.integer()));
  }
  if (name == "startswith" || name == "endswith") {
    check_arguments(all, 1, {}, name);
    return Value(any_prefix(*this, at(0), s, name == "startswith"));
  }
  if (name == "replace") {
    check_arguments(all, 3, {}, name);
    const Value count = argument(all, 2, "", Value(int64_t{-1}));
    if (!count.is_integer()) fail("replace: expected an integer");
    return text(replace(*this, s, string_at(0), string_at(1), count.integer()));
  }
  if (name == "join") {
    check_arguments(all, 1, {}, name);
    std::string out;
    bool first = true;
    for (const Value& part : iterate(at(0))) {
      if (!part.is_string()) fail("join: expected strings, found " + type_name(part));
      out += (first ? "" : s) + part.string();
      memory(static_cast<int64_t>(s.size() + part.string().size()));
      first = false;
    }
    return text(std::move(out));
  }
  if (name == "find" || name == "count") {
    check_arguments(all, 1, {}, name);
    const std::string what = string_at(0);
    if (what.empty()) fail(name + ": an empty string is not supported");
    if (name == "find") {
      const size_t place = s.find(what);
      return Value(place == std::string::npos
                       ? int64_t{-1}
                       : count_characters(std::string_view(s).substr(0, place)));
    }
    int64_t count = 0;
    for (size_t i = s.find(what); i != std::string::npos; i = s.find(what, i + what.size()))
      ++count;
    return Value(count);
  }
  check_arguments(all, 0, {}, name);
  return text(name == "upper"   ? upper(s)
              : name == "lower" ? lower(s)
              : name == "title" ? title(s)
                                : capitalize(s));
}

Value Run::filter(const std::string& name, const Value& value, const Arguments& all) {
  step();
  const auto check = [&](std::vector<std::string_view> names) {
    check_arguments(all, names.size(), names, "the filter " + in_quotes(name));
  };
  if (name == "default" || name == "d") {
    check({"default_value", "boolean"});
    const bool use = value.is_undefined() || (truth(argument(all, 1, "boolean")) && !truth(value));
    return use ? argument(all, 0, "default_value", Value(std::string())) : value;
  }
  if (name == "tojson") {
    check({"ensure_ascii", "indent", "separators", "sort_keys"});
    const Value indent = argument(all, 1, "indent");
    const Value separators = argument(all, 2, "separators");
    if (!indent.is_none() &&
        (!indent.is_integer() || indent.integer() < 0 || indent.integer() > 64))
      fail("tojson: indent must be an integer in [0, 64]");
    std::string item_end = indent.is_none() ? ", " : ",";
    std::string key_end = ": ";
    if (!separators.is_none()) {
      if (!separators.is_sequence() || separators.items().size() != 2 ||
          !separators.items()[0].is_string() || !separators.items()[1].is_string())
        fail("tojson: separators must be two strings");
      item_end = separators.items()[0].string();
      key_end = separators.items()[1].string();
    }
    return text(json(value, indent.is_none() ? -1 : indent.integer(), item_end, key_end,
                     truth(argument(all, 0, "ensure_ascii")),
                     truth(argument(all, 3, "sort_keys"))));
  }
  if (name == "trim") {
    check({"chars"});
    return text(strip(str(value), argument(all, 0, "chars"), true, true));
  }
  if (name == "replace") {
    check({"old", "new", "count"});
    const Value count = argument(all, 2, "count");
    if (!count.is_none() && !count.is_integer()) fail("replace: expected an integer");
    return text(replace(*this, str(value), str(argument(all, 0, "old")),
                        str(argument(all, 1, "new")), count.is_none() ? -1 : count.integer()));
  }
  if (name == "join") {
    check({"d"});
    const std::string by = str(argument(all, 0, "d", Value(std::string())));
    std::string out;
    bool first = true;
    for (const Value& part : iterate(value)) {
      out += (first ? "" : by) + str(part);
      memory(static_cast<int64_t>(by.size()));
      first = false;
    }
    return text(std::move(out));
  }
  if (name == "int" || name == "float") fail("the filter " + in_quotes(name) + " is not supported");
  check({});
  if (name == "length" || name == "count") return Value(length(value));
  if (name == "string") return value.is_string() ? value : text(str(value));
  if (name == "upper") return text(upper(str(value)));
  if (name == "lower") return text(lower(str(value)));
  if (name == "capitalize") return text(capitalize(str(value)));
  if (name == "list") return list(iterate(value));
  if (name == "items") {
    if (value.is_undefined()) return list({});
    if (!value.is(Kind::kDict)) fail("items: expected a dict, found " + type_name(value));
    return method(value, "items", {});
  }
  if (name == "first" || name == "last") {
    const List items = iterate(value);
    if (items.empty()) return Value::undefined("no " + name + " item, the sequence was empty");
    return name == "first" ? items.front() : items.back();
  }
  if (name == "reverse" && value.is_string())
    return slice(value, Value::none(), Value::none(), Value(int64_t{-1}));
  fail("the filter " + in_quotes(name) + " is not supported");
}

bool Run::test(const std::string& name, const Value& value, const Arguments& all) {
  step();
  if (!all.named.empty()) fail("the test " + in_quotes(name) + " takes no named arguments");
  if (is_one_of(name, {"eq", "equalto", "ne", "in", "divisibleby", "sameas", "lt", "gt", "le", "ge",
                       "lessthan", "greaterthan"})) {
    if (all.positional.size() != 1) fail("the test " + in_quotes(name) + " takes one argument");
    const Value& other = all.positional[0];
    if (name == "eq" || name == "equalto") return equal(value, other);
    if (name == "ne") return !equal(value, other);
    if (name == "in") return has(other, value);
    if (name == "divisibleby") return equal(binary("%", value, other), Value(int64_t{0}));
    if (name == "sameas") return value.same_as(other);
    if (name == "lt" || name == "lessthan") return less(value, other);
    if (name == "gt" || name == "greaterthan") return less(other, value);
    return name == "le" ? !less(other, value) : !less(value, other);
  }
  if (!all.positional.empty()) fail("the test " + in_quotes(name) + " takes no argument");
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.is_none();
  if (name == "boolean") return value.is(Kind::kBool);
  if (name == "true" || name == "false")
    return value.is(Kind::kBool) && value.boolean() == (name == "true");
  if (name == "integer") return value.is(Kind::kInt);
  if (name == "float") return value.is(Kind::kFloat);
  if (name == "number") return value.is_number();
  if (name == "string") return value.is_string();
  if (name == "mapping") return value.is(Kind::kDict);
  if (name == "sequence" || name == "iterable") {
    return value.is_undefined() ? name == "iterable"
                                : value.is_string() || value.is_sequence() || value.is(Kind::kDict);
  }
  if (name == "callable") return value.is(Kind::kObject) && value.object()->callable();
  if (name == "odd") return equal(binary("%", value, Value(int64_t{2})), Value(int64_t{1}));
  if (name == "even") return equal(binary("%", value, Value(int64_t{2})), Value(int64_t{0}));
  fail("the test " + in_quotes(name) + " is not supported");
}

Value Run::now(const std::string& format) {
  std::tm when = {};
  if (date_.empty()) {
    const std::time_t seconds = std::time(nullptr);
    localtime_r(&seconds, &when);
  } else {
    const char* rest = strptime(date_.c_str(), "%Y-%m-%d", &when);
    if (rest == nullptr || *rest != '\0')
      fail("the date " + in_quotes(date_) + " is not YYYY-MM-DD");
  }
  char buffer[256];
  const size_t size = std::strftime(buffer, sizeof buffer, format.c_str(), &when);
  if (size == 0 && !format.empty())
    fail("strftime_now: the format " + in_quotes(format) + " gives no text");
  return text(std::string(buffer, size));
}

}  // namespace athanor::jinja

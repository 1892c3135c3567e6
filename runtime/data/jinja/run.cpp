// Text of values, comparison, iteration and arithmetic as Python defines them.
#include "runtime/data/jinja/run.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.h"
#include "runtime/data/jinja/lexer.h"
#include "runtime/data/jinja/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto scientific = std::to_chars(buffer, buffer + 64, value, std::chars_format::scientific);
  std::string text(buffer, scientific.ptr);
  const size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  if (exponent >= -4 && exponent < 16) {
    const auto fixed = std::to_chars(buffer, buffer + 64, value, std::chars_format::fixed);
    text.assign(buffer, fixed.ptr);
    if (text.find('.') == std::string::npos) text += ".0";
  }
  return text;
}

void append_hex(std::string& out, char kind, char32_t c, int digits) {
  out += '\\';
  out += kind;
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
    out += "0123456789abcdef"[(c >> shift) & 15];
}

std::string string_repr(std::string_view text) {
  const bool single = text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
  const char quote = single ? '"' : '\'';
  std::string out(1, quote);
  for (const char32_t c : to_code_points(text)) {
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (contains(kPrintable, c)) {
      out += utf8_encode(c);
    } else if (c < 0x100) {
      append_hex(out, 'x', c, 2);
    } else if (c < 0x10000) {
      append_hex(out, 'u', c, 4);
    } else {
      append_hex(out, 'U', c, 8);
    }
  }
  return out + quote;
}

std::string string_json(std::string_view text, bool ascii) {
  std::string out = "\"";
  for (const char32_t c : to_code_points(text)) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20) {
      static constexpr std::string_view kFrom = "\n\r\t\b\f";
      const size_t known = kFrom.find(static_cast<char>(c));
      if (known == std::string_view::npos) {
        append_hex(out, 'u', c, 4);
      } else {
        out += '\\';
        out += "nrtbf"[known];
      }
    } else if (!ascii || c < 0x7F) {
      out += utf8_encode(c);
    } else if (c < 0x10000) {
      append_hex(out, 'u', c, 4);
    } else {
      append_hex(out, 'u', 0xD800 + ((c - 0x10000) >> 10), 4);
      append_hex(out, 'u', 0xDC00 + ((c - 0x10000) & 0x3FF), 4);
    }
  }
  return out + "\"";
}

}  // namespace

void Run::fail(const std::string& message) const { fail_at_line(name_, line, message); }

void Run::require_defined(const Value& value) const {
  if (value.is_undefined()) fail(value.undefined_message());
}

Value Run::text(std::string bytes) {
  memory(static_cast<int64_t>(bytes.size()) + 64);
  return Value(std::move(bytes));
}
Value Run::list(List items) {
  memory(static_cast<int64_t>(items.size() * sizeof(Value)) + 64);
  Value value = Value::list(std::move(items));
  if (value.depth() > 128) fail("a list nested deeper than 128 levels");
  return value;
}
Value Run::tuple(List items) {
  memory(static_cast<int64_t>(items.size() * sizeof(Value)) + 64);
  Value value = Value::tuple(std::move(items));
  if (value.depth() > 128) fail("a tuple nested deeper than 128 levels");
  return value;
}

Value Run::argument(const Arguments& all, size_t at, std::string_view name, Value fallback) {
  if (at < all.positional.size()) return all.positional[at];
  for (const auto& [key, value] : all.named) {
    if (key == name) return value;
  }
  return fallback;
}

void Run::check_arguments(const Arguments& all, size_t most, std::vector<std::string_view> names,
                          const std::string& what) const {
  if (all.positional.size() > most) {
    fail(what + " takes at most " + std::to_string(most) + " arguments, found " +
         std::to_string(all.positional.size()));
  }
  for (const auto& [key, value] : all.named) {
    const auto at = std::find(names.begin(), names.end(), key);
    if (at == names.end()) fail(what + ": the argument " + in_quotes(key) + " is not supported");
    if (static_cast<size_t>(at - names.begin()) < all.positional.size()) {
      fail(what + ": the argument " + in_quotes(key) + " is given twice");
    }
  }
}

bool Run::truth(const Value& value) const {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.integer() != 0;
    case Kind::kFloat:
      return value.real() != 0;
    case Kind::kString:
      return !value.string().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return value.dict().size() > 0;
    case Kind::kObject:
      return true;
  }
  return false;
}

std::string Run::type_name(const Value& value) const {
  static constexpr const char* kNames[] = {"Undefined", "None", "bool",  "int",  "float",
                                           "str",       "list", "tuple", "dict", ""};
  return value.is(Kind::kObject) ? value.object()->type() : kNames[static_cast<int>(value.kind())];
}

std::string Run::str(const Value& value) {
  if (value.is_undefined()) return "";
  if (value.is_string()) return value.string();
  return repr(value);
}

std::string Run::repr(const Value& value) {
  step();
  std::string out;
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return value.boolean() ? "True" : "False";
    case Kind::kInt:
      return std::to_string(value.integer());
    case Kind::kFloat:
      return float_text(value.real());
    case Kind::kString:
      out = string_repr(value.string());
      break;
    case Kind::kList:
    case Kind::kTuple:
      for (const Value& item : value.items()) out += (out.empty() ? "" : ", ") + repr(item);
      if (value.is(Kind::kTuple)) {
        out = "(" + out + (value.items().size() == 1 ? ",)" : ")");
      } else {
        out = "[" + out + "]";
      }
      break;
    case Kind::kDict:
      for (const auto& [key, item] : value.dict().entries()) {
        out += (out.empty() ? "" : ", ") + repr(key) + ": " + repr(item);
      }
      out = "{" + out + "}";
      break;
    case Kind::kObject:
      fail("printing a " + type_name(value) + " is not supported");
  }
  memory(static_cast<int64_t>(out.size()));
  return out;
}

std::string Run::json(const Value& value, int64_t indent, const std::string& item_end,
                      const std::string& key_end, bool ascii, bool sorted, int64_t level) {
  step();
  const auto newline = [&](int64_t depth) {
    return indent < 0 ? std::string()
                      : "\n" + std::string(static_cast<size_t>(indent * depth), ' ');
  };
  const auto inner = [&](const Value& v) {
    return json(v, indent, item_end, key_end, ascii, sorted, level + 1);
  };
  std::string out;
  if (value.is_none()) return "null";
  if (value.is(Kind::kBool)) return value.boolean() ? "true" : "false";
  if (value.is_string()) return string_json(value.string(), ascii);
  if (value.is(Kind::kInt)) return std::to_string(value.integer());
  if (value.is(Kind::kFloat)) {
    const std::string text = float_text(value.real());
    return text == "nan" ? "NaN" : text == "inf" ? "Infinity" : text == "-inf" ? "-Infinity" : text;
  }
  if (value.is_sequence()) {
    if (value.items().empty()) return "[]";
    for (const Value& v : value.items())
      out += (out.empty() ? "" : item_end) + newline(level + 1) + inner(v);
    out = "[" + out + newline(level) + "]";
  } else if (value.is(Kind::kDict)) {
    std::vector<Dict::Entry> entries = value.dict().entries();
    for (const auto& [key, v] : entries) {
      if (!key.is_string()) fail("tojson: keys that are not strings are not supported");
    }
    if (sorted) {
      std::sort(entries.begin(), entries.end(),
                [](const auto& a, const auto& b) { return a.first.string() < b.first.string(); });
    }
    if (entries.empty()) return "{}";
    for (const auto& [key, v] : entries) {
      out += (out.empty() ? "" : item_end) + newline(level + 1) + string_json(key.string(), ascii) +
             key_end + inner(v);
    }
    out = "{" + out + newline(level) + "}";
  } else {
    fail("tojson: a value of type " + type_name(value) + " is not JSON");
  }
  memory(static_cast<int64_t>(out.size()));
  return out;
}

bool Run::equal(const Value& a, const Value& b) {
  step();
  if (a.is_number() && b.is_number())
    return !KeyLess()(a, b) && !KeyLess()(b, a) && a.real() == a.real() && b.real() == b.real();
  if (a.kind() != b.kind()) return false;
  if (a.is_string()) return a.string() == b.string();
  if (a.is_sequence()) {
    return std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(),
                      [&](const Value& x, const Value& y) { return equal(x, y); });
  }
  if (a.is(Kind::kDict)) {
    if (a.dict().size() != b.dict().size()) return false;
    return std::all_of(a.dict().entries().begin(), a.dict().entries().end(),
                       [&](const auto& entry) {
                         const Value* other = b.dict().find(entry.first);
                         return other != nullptr && equal(entry.second, *other);
                       });
  }
  return a.is(Kind::kObject) ? a.object() == b.object() : true;
}

bool Run::less(const Value& a, const Value& b) {
  step();
  require_defined(a);
  require_defined(b);
  if (a.is_number() && b.is_number()) {
    return a.is_integer() && b.is_integer() ? a.integer() < b.integer() : a.real() < b.real();
  }
  if (a.kind() == b.kind() && a.is_string()) return a.string() < b.string();
  if (a.kind() == b.kind() && a.is_sequence()) {
    for (size_t i = 0; i < std::min(a.items().size(), b.items().size()); ++i) {
      if (!equal(a.items()[i], b.items()[i])) return less(a.items()[i], b.items()[i]);
    }
    return a.items().size() < b.items().size();
  }
  fail("'<' is not supported between " + type_name(a) + " and " + type_name(b));
}

bool Run::has(const Value& container, const Value& item) {
  if (container.is_string()) {
    require_defined(item);
    if (!item.is_string()) fail("'in <string>' needs a string, found " + type_name(item));
    step(static_cast<int64_t>(container.string().size() * (1 + item.string().size() / 64) / 64));
    return container.string().find(item.string()) != std::string::npos;
  }
  if (container.is(Kind::kDict)) {
    if (!is_hashable(item)) fail("a " + type_name(item) + " cannot be a key");
    return container.dict().find(item) != nullptr;
  }
  const List items = iterate(container);
  return std::any_of(items.begin(), items.end(), [&](const Value& v) { return equal(v, item); });
}

List Run::iterate(const Value& value) {
  List items;
  if (value.is_undefined()) return items;
  if (value.is_sequence()) {
    items = value.items();
  } else if (value.is(Kind::kDict)) {
    for (const auto& entry : value.dict().entries()) items.push_back(entry.first);
  } else if (value.is_string()) {
    memory(value.text().characters() * 96);
    for (const char32_t c : to_code_points(value.string())) items.emplace_back(utf8_encode(c));
  } else {
    fail("a value of type " + type_name(value) + " cannot be iterated");
  }
  memory(static_cast<int64_t>(items.size() * sizeof(Value)));
  return items;
}

int64_t Run::length(const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.is_string()) return value.text().characters();
  if (value.is_sequence()) return static_cast<int64_t>(value.items().size());
  if (value.is(Kind::kDict)) return value.dict().size();
  fail("a value of type " + type_name(value) + " has no length");
}

namespace {

template <class T>
std::optional<int64_t> integer_result(const std::string& op, T a, T b) {
  int64_t out = 0;
  bool overflow = false;
  if (op == "+") overflow = __builtin_add_overflow(a, b, &out);
  if (op == "-") overflow = __builtin_sub_overflow(a, b, &out);
  if (op == "*") overflow = __builtin_mul_overflow(a, b, &out);
  if (overflow) return std::nullopt;
  return out;
}

}  // namespace

Value Run::binary(const std::string& op, const Value& a, const Value& b) {
  require_defined(a);
  require_defined(b);
  const auto wrong = [&]() {
    fail("'" + op + "' is not supported between " + type_name(a) + " and " + type_name(b));
  };
  if (a.is_number() && b.is_number()) {
    const bool whole = a.is_integer() && b.is_integer();
    if ((op == "/" || op == "//" || op == "%") && b.real() == 0) fail("division by zero");
    if (op == "/") return Value(a.real() / b.real());
    if (op == "//" || op == "%") {
      if (whole) {
        const int64_t x = a.integer(), y = b.integer();
        if (y == -1) return op == "%" ? Value(int64_t{0}) : binary("-", Value(int64_t{0}), a);
        const int64_t floor = x / y - ((x % y != 0 && (x < 0) != (y < 0)) ? 1 : 0);
        return Value(op == "//" ? floor : x - floor * y);
      }
      double rest = std::fmod(a.real(), b.real());
      if (rest != 0 && (rest < 0) != (b.real() < 0)) rest += b.real();
      return Value(op == "%" ? rest : std::round((a.real() - rest) / b.real()));
    }
    if (op == "**") {
      if (!whole || b.integer() < 0) return Value(std::pow(a.real(), b.real()));
      Value power(int64_t{1});
      for (int64_t i = 0; i < b.integer(); ++i) {
        step();
        power = binary("*", power, a);
      }
      return power;
    }
    if (whole) {
      const auto out = integer_result(op, a.integer(), b.integer());
      if (!out) fail("an integer with more than 64 bits");
      return Value(*out);
    }
    return Value(op == "+"   ? a.real() + b.real()
                 : op == "-" ? a.real() - b.real()
                             : a.real() * b.real());
  }
  if (op == "+" && a.is_string() && b.is_string()) return text(a.string() + b.string());
  if (op == "+" && a.kind() == b.kind() && a.is_sequence()) {
    List items = a.items();
    items.insert(items.end(), b.items().begin(), b.items().end());
    return a.is(Kind::kTuple) ? tuple(std::move(items)) : list(std::move(items));
  }
  if (op == "*" && a.is_integer() && !b.is_number()) return binary(op, b, a);
  if (op == "*" && b.is_integer() && a.is_string()) {
    const int64_t times = std::max<int64_t>(0, b.integer());
    const int64_t size = static_cast<int64_t>(a.string().size());
    memory(size > 0 && times > limits_.bytes / size ? limits_.bytes + 1 : times * size);
    std::string out;
    for (int64_t i = 0; size > 0 && i < times; ++i) out += a.string();
    return Value(std::move(out));
  }
  if (op == "%" && a.is_string()) fail("formatting a string with % is not supported");
  wrong();
  return Value();
}

Value Run::attribute(const Value& object, const std::string& name) {
  require_defined(object);
  if (name.starts_with("_")) fail("the attribute " + in_quotes(name) + " is not safe");
  if (object.is(Kind::kObject)) {
    if (const Value* field = object.object()->field(*this, name)) return *field;
  } else if (is_method(object, name)) {
    return Value(std::shared_ptr<Object>(std::make_shared<Method>(object, name)));
  } else if (object.is(Kind::kDict)) {
    if (const Value* value = object.dict().find(name)) return *value;
  } else if (object.is_group() && (name == "grouper" || name == "list")) {
    return object.items()[name == "list" ? 1 : 0];
  }
  return Value::undefined("'" + type_name(object) + " object' has no attribute '" + name + "'");
}

Value Run::item(const Value& object, const Value& index) {
  require_defined(object);
  if (object.is(Kind::kDict) && is_hashable(index)) {
    if (const Value* value = object.dict().find(index)) return *value;
  }
  if (index.is_integer() && (object.is_sequence() || object.is_string())) {
    const int64_t size = length(object);
    const int64_t at = index.integer() + (index.integer() < 0 ? size : 0);
    if (at >= 0 && at < size) {
      if (object.is_sequence()) return object.items()[static_cast<size_t>(at)];
      return slice(object, Value(at), Value(at + 1), Value::none());
    }
  } else if (index.is_string()) {
    if (index.string().starts_with("_"))
      fail("the attribute " + in_quotes(index.string()) + " is not safe");
    if (object.is(Kind::kObject) || is_method(object, index.string()))
      return attribute(object, index.string());
  }
  return Value::undefined(type_name(object) + " object has no element " + repr(index));
}

Value Run::slice(const Value& object, const Value& begin, const Value& end, const Value& stride) {
  require_defined(object);
  if (!object.is_sequence() && !object.is_string())
    fail("a " + type_name(object) + " cannot be sliced");
  const auto whole = [&](const Value& v, int64_t fallback) {
    if (v.is_none()) return fallback;
    require_defined(v);
    if (!v.is_integer()) fail("a slice needs integers, found " + type_name(v));
    return v.integer();
  };
  const int64_t size = length(object);
  const int64_t by = whole(stride, 1);
  if (by == 0) fail("a slice with step 0");
  const auto place = [&](const Value& v, int64_t fallback) {
    int64_t at = whole(v, fallback);
    if (v.is_none()) return at;
    if (at < 0) at += size;
    return by > 0 ? std::clamp<int64_t>(at, 0, size) : std::clamp<int64_t>(at, -1, size - 1);
  };
  const int64_t first = place(begin, by > 0 ? 0 : size - 1);
  const int64_t last = place(end, by > 0 ? size : -1);
  if (object.is_string() && by == 1 && object.text().one_byte_each()) {
    if (last <= first) return Value(std::string());
    return text(
        object.string().substr(static_cast<size_t>(first), static_cast<size_t>(last - first)));
  }
  const std::u32string points = object.is_string() ? to_code_points(object.string()) : U"";
  step(static_cast<int64_t>(points.size()) / 16);
  List items;
  std::u32string picked;
  for (int64_t i = first; by > 0 ? i < last : i > last; i += by) {
    if (object.is_string()) {
      picked.push_back(points[static_cast<size_t>(i)]);
    } else {
      items.push_back(object.items()[static_cast<size_t>(i)]);
    }
    if (by > size || by < -size) break;
  }
  if (object.is_string()) return text(to_utf8(picked));
  return object.is(Kind::kTuple) ? tuple(std::move(items)) : list(std::move(items));
}

}  // namespace athanor::jinja

// Text of values as Python's str, repr and json.dumps write it.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/data/jinja/call.h"
#include "runtime/data/jinja/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {

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

namespace {

void append_hex(std::string& out, char kind, char32_t c, int digits) {
  out += '\\';
  out += kind;
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
    out += "0123456789abcdef"[(c >> shift) & 15];
}

}  // namespace

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
      if (value.text().safe) out = "Markup(" + out + ")";
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
      out = value.object()->repr(*this);
      break;
  }
  memory(static_cast<int64_t>(out.size()));
  return out;
}

namespace {

std::string number_json(const Value& value) {
  if (value.is(Kind::kBool)) return value.boolean() ? "true" : "false";
  if (value.is(Kind::kInt)) return std::to_string(value.integer());
  const std::string text = float_text(value.real());
  return text == "nan" ? "NaN" : text == "inf" ? "Infinity" : text == "-inf" ? "-Infinity" : text;
}

}  // namespace

std::string Run::json(const Value& value, const JsonStyle& style, int64_t level) {
  step();
  const auto newline = [&](int64_t depth) {
    std::string out = style.pretty ? "\n" : "";
    for (int64_t i = 0; i < depth && style.pretty; ++i) out += style.indent;
    return out;
  };
  if (value.is_none()) return "null";
  if (value.is_number()) return number_json(value);
  if (value.is_string()) return string_json(value.string(), style.ascii);
  std::string out;
  if (value.is_sequence()) {
    if (value.items().empty()) return "[]";
    for (const Value& v : value.items())
      out += (out.empty() ? "" : style.item_end) + newline(level + 1) + json(v, style, level + 1);
    out = "[" + out + newline(level) + "]";
  } else if (value.is(Kind::kDict)) {
    std::vector<Dict::Entry> entries = value.dict().entries();
    if (entries.empty()) return "{}";
    if (style.sorted) {
      std::stable_sort(entries.begin(), entries.end(),
                       [&](const auto& a, const auto& b) { return less(a.first, b.first); });
    }
    for (const auto& [key, v] : entries) {
      if (!key.is_string() && !key.is_number() && !key.is_none())
        fail("tojson: a key of type " + type_name(key) + " is not JSON");
      const std::string name = key.is_string() ? key.string()
                               : key.is_none() ? "null"
                                               : number_json(key);
      out += (out.empty() ? "" : style.item_end) + newline(level + 1) +
             string_json(name, style.ascii) + style.key_end + json(v, style, level + 1);
    }
    out = "{" + out + newline(level) + "}";
  } else {
    fail("tojson: a value of type " + type_name(value) + " is not JSON");
  }
  memory(static_cast<int64_t>(out.size()));
  return out;
}

}  // namespace athanor::jinja

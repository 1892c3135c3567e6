// `%` and str.format. Integers and floats by Python's rules for flags, width and precision.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/data/jinja/call.h"
#include "runtime/data/jinja/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

struct Spec {
  char32_t fill = ' ';
  char align = 0;  // < > ^ =
  char sign = '-';
  bool alternate = false;
  char group = 0;
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;
};

constexpr int64_t kMaxWidth = 100000;

std::string digits_of(uint64_t value, int base, bool capital) {
  char buffer[72];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, base);
  std::string text(buffer, end.ptr);
  return capital ? upper(text) : text;
}

std::string real_text(double value, char type, int64_t precision, bool alternate) {
  const bool capital = type >= 'A' && type <= 'Z';
  if (!std::isfinite(value)) {
    const std::string text = std::isnan(value) ? "nan" : "inf";
    return capital ? upper(text) : text;
  }
  std::string format = "%";
  if (alternate) format += '#';
  format += ".*";
  format += type;
  std::string buffer(static_cast<size_t>(precision) + 400, '\0');
  const int size = std::snprintf(buffer.data(), buffer.size(), format.c_str(),
                                 static_cast<int>(precision), value);
  buffer.resize(static_cast<size_t>(size));
  return buffer;
}

std::string grouped(const std::string& text, char group) {
  const size_t whole = std::min(text.find_first_not_of("0123456789"), text.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out += group;
    out += text[i];
  }
  return out + text.substr(whole);
}

// Sign, prefix and digits put into the width.
std::string number_field(Run& run, const Spec& spec, bool negative, const std::string& prefix,
                         std::string digits) {
  if (spec.group != 0) digits = grouped(digits, spec.group);
  std::string head = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  head += prefix;
  if (spec.align == '=') {
    if (spec.group != 0 && spec.fill == '0') run.fail("format: 0 with grouping is not supported");
    return head + pad(run, digits, spec.width - count_characters(head), spec.fill, '>');
  }
  return pad(run, head + digits, spec.width, spec.fill, spec.align == 0 ? '>' : spec.align);
}

std::string integer_field(Run& run, const Spec& spec, int64_t value) {
  const uint64_t size = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const char type = spec.type == 0 || spec.type == 'n' ? 'd' : spec.type;
  const int base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
  std::string prefix;
  if (spec.alternate && base != 10) prefix = std::string("0") + type;
  std::string digits = digits_of(size, base, type == 'X');
  if (spec.precision > static_cast<int64_t>(digits.size()))
    digits.insert(0, static_cast<size_t>(spec.precision) - digits.size(), '0');
  return number_field(run, spec, value < 0, prefix, digits);
}

std::string real_field(Run& run, const Spec& spec, double value) {
  std::string digits;
  const double size = std::fabs(value);
  if (spec.type == 0) {
    if (spec.precision >= 0) run.fail("format: a precision without a type is not supported");
    digits = float_text(size);
  } else if (spec.type == '%') {
    digits = real_text(size * 100, 'f', spec.precision < 0 ? 6 : spec.precision, false) + "%";
  } else {
    digits = real_text(size, spec.type, spec.precision < 0 ? 6 : spec.precision, spec.alternate);
  }
  return number_field(run, spec, std::signbit(value) && !std::isnan(value), "", digits);
}

std::string cut(const std::string& text, int64_t precision) {
  if (precision < 0) return text;
  return to_utf8(to_code_points(text).substr(0, static_cast<size_t>(precision)));
}

int64_t number_at(Run& run, std::string_view text, size_t& at) {
  int64_t value = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    value = value * 10 + (text[at] - '0');
    if (value > kMaxWidth) run.fail("format: a width or precision above 100000");
  }
  return value;
}

// ---- %

class Percent {
 public:
  Percent(Run& run, const Value& format, const Value& arguments)
      : run_(run), text_(format.string()), safe_(format.text().safe), all_(arguments) {}

  std::string format() {
    std::string out;
    while (at_ < text_.size()) {
      if (text_[at_] != '%') {
        out += text_[at_++];
        continue;
      }
      ++at_;
      out += field();
      run_.memory(16);
    }
    const bool unused = all_.is(Kind::kTuple) ? next_ < all_.items().size()
                                              : next_ == 0 && !all_.is(Kind::kDict) &&
                                                    !all_.is(Kind::kList) && !named_;
    if (unused) run_.fail("%: not all arguments are used");
    return out;
  }

 private:
  const Value& argument() {
    if (!all_.is(Kind::kTuple)) {
      if (next_++ == 0) return all_;
    } else if (next_ < all_.items().size()) {
      return all_.items()[next_++];
    }
    run_.fail("%: not enough arguments");
  }

  std::string field() {
    Spec spec;
    Value value;
    bool has_key = false;
    if (at_ < text_.size() && text_[at_] == '(') {
      const size_t end = text_.find(')', at_);
      if (end == std::string::npos) run_.fail("%: an incomplete key");
      if (!all_.is(Kind::kDict)) run_.fail("%: a key needs a dict");
      const Value* found = all_.dict().find(text_.substr(at_ + 1, end - at_ - 1));
      if (found == nullptr) run_.fail("%: the key is not in the dict");
      value = *found;
      has_key = named_ = true;
      at_ = end + 1;
    }
    bool zero = false;
    for (; at_ < text_.size() && std::string_view("-+ #0").find(text_[at_]) < 5; ++at_) {
      const char flag = text_[at_];
      if (flag == '-') spec.align = '<';
      if (flag == '+' || (flag == ' ' && spec.sign == '-')) spec.sign = flag;
      if (flag == '#') spec.alternate = true;
      zero = zero || flag == '0';
    }
    spec.width = number_or_star(spec);
    if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;
      Spec ignored;
      spec.precision = number_or_star(ignored);
    }
    if (at_ >= text_.size()) run_.fail("%: an incomplete format");
    spec.type = text_[at_++];
    if (spec.type == '%') return "%";
    if (!has_key) value = argument();
    return converted(spec, value, zero);
  }

  int64_t number_or_star(Spec& spec) {
    if (at_ >= text_.size() || text_[at_] != '*') return number_at(run_, text_, at_);
    ++at_;
    const Value& value = argument();
    if (!value.is_integer() || std::abs(value.integer()) > kMaxWidth)
      run_.fail("%: * wants an integer");
    if (value.integer() < 0) spec.align = '<';
    return std::abs(value.integer());
  }

  std::string converted(Spec spec, const Value& value, bool zero) {
    const char type = spec.type;
    if (type == 's' || type == 'r') {
      std::string text = type == 's' ? run_.str(value) : run_.repr(value);
      if (safe_ && !(value.is_string() && value.text().safe)) text = escape_html(text);
      return pad(run_, cut(text, spec.precision), spec.width, ' ', spec.align == '<' ? '<' : '>');
    }
    if (type == 'c' || type == 'a')
      run_.fail(std::string("%: the conversion %") + type + " is not supported");
    if (zero && spec.align == 0) {
      spec.fill = '0';
      spec.align = '=';
    }
    run_.require_defined(value);
    const bool whole = std::string_view("diuxXo").find(type) != std::string_view::npos;
    if (!whole && std::string_view("eEfFgG").find(type) == std::string_view::npos)
      run_.fail(std::string("%: the conversion %") + type + " is not known");
    if (!value.is_number()) run_.fail("%: a number is needed, not " + run_.type_name(value));
    if (!whole) return real_field(run_, spec, value.real());
    if (type == 'i' || type == 'u') spec.type = 'd';
    if (value.is_integer()) return integer_field(run_, spec, value.integer());
    if (spec.type != 'd' || !(std::fabs(value.real()) < 9.2e18))
      run_.fail("%: an integer is needed");
    return integer_field(run_, spec, static_cast<int64_t>(value.real()));
  }

  Run& run_;
  const std::string& text_;
  bool safe_;
  const Value& all_;
  size_t at_ = 0;
  size_t next_ = 0;
  bool named_ = false;
};

Spec parse_spec(Run& run, std::string_view text) {
  Spec spec;
  const std::u32string points = to_code_points(text);
  const auto is_align = [](char32_t c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  size_t at = 0;
  if (points.size() > 1 && is_align(points[1])) {
    spec.fill = points[0];
    spec.align = static_cast<char>(points[1]);
    at = static_cast<size_t>(utf8_length(text[0])) + 1;
  } else if (!points.empty() && is_align(points[0])) {
    spec.align = text[0];
    at = 1;
  }
  const auto take = [&](std::string_view set) {
    if (at >= text.size() || set.find(text[at]) == std::string_view::npos) return char{0};
    return text[at++];
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.alternate = take("#") != 0;
  if (take("0") != 0 && spec.align == 0) {
    spec.fill = '0';
    spec.align = '=';
  }
  spec.width = number_at(run, text, at);
  spec.group = take(",_");
  if (take(".") != 0) {
    const size_t before = at;
    spec.precision = number_at(run, text, at);
    if (at == before) run.fail("format: a precision is missing");
  }
  spec.type = take("sdbxXoneEfFgG%");
  if (at < text.size() || spec.type == 'n')
    run.fail("format: the specification " + in_quotes(text) + " is not supported");
  return spec;
}

}  // namespace

Value Run::format_percent(const Value& format, const Value& arguments) {
  return text(Percent(*this, format, arguments).format(), format.text().safe);
}

std::string Run::format_spec(const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) return str(value);
  Spec spec = parse_spec(*this, spec_text);
  const bool real_type = spec.type != 0 && std::string_view("eEfFgG%").find(spec.type) < 7;
  if (value.is_string()) {
    if ((spec.type != 0 && spec.type != 's') || spec.align == '=' || spec.sign != '-' ||
        spec.group != 0 || spec.alternate)
      fail("format: " + in_quotes(spec_text) + " is not for a str");
    return pad(*this, cut(value.string(), spec.precision), spec.width, spec.fill,
               spec.align == 0 ? '<' : spec.align);
  }
  if (!value.is_number() || spec.type == 's')
    fail("format: " + in_quotes(spec_text) + " is not for a " + type_name(value));
  if (value.is_integer() && !real_type) {
    if (spec.precision >= 0 || (spec.group == ',' && spec.type != 0 && spec.type != 'd'))
      fail("format: " + in_quotes(spec_text) + " is not for an int");
    if (spec.group == '_' && spec.type != 0 && spec.type != 'd')
      fail("format: grouping by _ of other bases is not supported");
    return integer_field(*this, spec, value.integer());
  }
  if (spec.type != 0 && !real_type)
    fail("format: " + in_quotes(spec_text) + " is not for a " + type_name(value));
  return real_field(*this, spec, value.real());
}

}  // namespace athanor::jinja

// Python's operators on numbers, strings and lists. Integers have 64 bits here; more is an error.
#include <algorithm>
#include <cmath>

#include "runtime/data/jinja/call.h"

namespace athanor::jinja {
namespace {

std::optional<int64_t> integer_result(const std::string& op, int64_t a, int64_t b) {
  int64_t out = 0;
  bool overflow = false;
  if (op == "+") overflow = __builtin_add_overflow(a, b, &out);
  if (op == "-") overflow = __builtin_sub_overflow(a, b, &out);
  if (op == "*") overflow = __builtin_mul_overflow(a, b, &out);
  if (overflow) return std::nullopt;
  return out;
}

// floor(x / y) and the rest with the sign of y.
Value divide(bool want_floor, double x, double y) {
  double rest = std::fmod(x, y);
  double quotient = (x - rest) / y;
  if (rest != 0 && (rest < 0) != (y < 0)) {
    rest += y;
    quotient -= 1;
  } else if (rest == 0) {
    rest = std::copysign(0.0, y);
  }
  if (!want_floor) return Value(rest);
  if (quotient == 0) return Value(std::copysign(0.0, x / y));
  const double floor = std::floor(quotient);
  return Value(quotient - floor > 0.5 ? floor + 1 : floor);
}

}  // namespace

Value Run::numbers(const std::string& op, const Value& a, const Value& b) {
  const bool whole = a.is_integer() && b.is_integer();
  if ((op == "/" || op == "//" || op == "%") && b.real() == 0) fail("division by zero");
  if (op == "/") return Value(a.real() / b.real());
  if (op == "//" || op == "%") {
    if (!whole) return divide(op == "//", a.real(), b.real());
    const int64_t x = a.integer(), y = b.integer();
    if (y == -1) return op == "%" ? Value(int64_t{0}) : numbers("-", Value(int64_t{0}), a);
    const int64_t floor = x / y - ((x % y != 0 && (x < 0) != (y < 0)) ? 1 : 0);
    return Value(op == "//" ? floor : x - floor * y);
  }
  if (op == "**") {
    if (!whole || b.integer() < 0) {
      if (a.real() == 0 && b.real() < 0) fail("0 to a negative power");
      if (a.real() < 0 && b.real() != std::floor(b.real()))
        fail("complex numbers are not supported");
      const double power = std::pow(a.real(), b.real());
      if (std::isinf(power) && std::isfinite(a.real()) && std::isfinite(b.real()))
        fail("the result of ** is too large");
      return Value(power);
    }
    if (a.integer() == 0 || a.integer() == 1) return Value(b.integer() == 0 ? 1 : a.integer());
    Value power(int64_t{1});
    for (int64_t i = 0; i < b.integer(); ++i) {
      step();
      power = numbers("*", power, a);
    }
    return power;
  }
  if (whole) {
    const auto out = integer_result(op, a.integer(), b.integer());
    if (!out) fail("an integer with more than 64 bits");
    return Value(*out);
  }
  const double x = a.real(), y = b.real();
  return Value(op == "+" ? x + y : op == "-" ? x - y : x * y);
}

Value Run::repeat(const Value& what, int64_t times) {
  times = std::max<int64_t>(0, times);
  const int64_t size = what.is_string() ? static_cast<int64_t>(what.string().size())
                                        : static_cast<int64_t>(what.items().size() * sizeof(Value));
  memory(size > 0 && times > limits_.bytes / size ? limits_.bytes + 1 : times * size);
  std::string out;
  List items;
  for (int64_t i = 0; size > 0 && i < times; ++i) {
    if (what.is_string()) {
      out += what.string();
    } else {
      items.insert(items.end(), what.items().begin(), what.items().end());
    }
  }
  if (what.is_string()) return Value(std::move(out), what.text().safe);
  return what.is(Kind::kTuple) ? tuple(std::move(items)) : list(std::move(items));
}

Value Run::binary(const std::string& op, const Value& a, const Value& b) {
  if (op == "%" && a.is_string()) return format_percent(a, b);
  require_defined(a);
  require_defined(b);
  if (a.is_number() && b.is_number()) return numbers(op, a, b);
  if (op == "+" && a.is_string() && b.is_string()) {
    if (a.text().safe == b.text().safe) return text(a.string() + b.string(), a.text().safe);
    return text((a.text().safe ? a.string() : escape_html(a.string())) +
                    (b.text().safe ? b.string() : escape_html(b.string())),
                true);
  }
  if (op == "+" && a.kind() == b.kind() && a.is_sequence()) {
    List items = a.items();
    items.insert(items.end(), b.items().begin(), b.items().end());
    return a.is(Kind::kTuple) ? tuple(std::move(items)) : list(std::move(items));
  }
  const auto repeats = [](const Value& v) { return v.is_string() || v.is_sequence(); };
  if (op == "*" && a.is_integer() && repeats(b)) return repeat(b, a.integer());
  if (op == "*" && b.is_integer() && repeats(a)) return repeat(a, b.integer());
  if (op == "-" && a.is(Kind::kObject)) fail("'-' of a " + type_name(a) + " is not supported");
  fail("'" + op + "' is not supported between " + type_name(a) + " and " + type_name(b));
}

}  // namespace athanor::jinja

// The tests behind `is`, and the date.
#include <algorithm>
#include <ctime>

#include "runtime/data/jinja/call.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

struct Comparison {
  std::string_view name;
  bool (*body)(Run&, const Value&, const Value&);
};

bool test_eq(Run& run, const Value& a, const Value& b) { return run.equal(a, b); }
bool test_ne(Run& run, const Value& a, const Value& b) { return !run.equal(a, b); }
bool test_lt(Run& run, const Value& a, const Value& b) { return run.less(a, b); }
bool test_gt(Run& run, const Value& a, const Value& b) { return run.less(b, a); }
bool test_le(Run& run, const Value& a, const Value& b) { return run.less(a, b) || run.equal(a, b); }
bool test_ge(Run& run, const Value& a, const Value& b) { return run.less(b, a) || run.equal(a, b); }
bool test_in(Run& run, const Value& a, const Value& b) { return run.has(b, a); }
bool test_same(Run&, const Value& a, const Value& b) { return a.same_as(b); }
bool test_divisible(Run& run, const Value& a, const Value& b) {
  return run.equal(run.binary("%", a, b), Value(int64_t{0}));
}

constexpr Comparison kComparisons[] = {
    {"eq", test_eq},          {"equalto", test_eq},  {"==", test_eq},
    {"ne", test_ne},          {"!=", test_ne},       {"lt", test_lt},
    {"lessthan", test_lt},    {"<", test_lt},        {"gt", test_gt},
    {"greaterthan", test_gt}, {">", test_gt},        {"le", test_le},
    {"<=", test_le},          {"ge", test_ge},       {">=", test_ge},
    {"in", test_in},          {"sameas", test_same}, {"divisibleby", test_divisible}};

bool is_range(const Value& value) {
  const auto* view = value.is(Kind::kObject) ? dynamic_cast<View*>(value.object().get()) : nullptr;
  return view != nullptr && view->is_range();
}

bool has_items(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is_sequence() || value.is(Kind::kDict);
}

std::optional<bool> test_kind(Run& run, std::string_view name, const Value& value) {
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
  if (name == "sequence") return has_items(value) || is_range(value);
  if (name == "iterable") {
    if (!value.is(Kind::kObject)) return has_items(value);
    const Object* object = value.object().get();
    return dynamic_cast<const View*>(object) != nullptr ||
           dynamic_cast<const Generator*>(object) != nullptr ||
           dynamic_cast<const Loop*>(object) != nullptr;
  }
  if (name == "callable")
    return value.is_undefined() || (value.is(Kind::kObject) && value.object()->callable());
  if (name == "odd" || name == "even") {
    return run.equal(run.binary("%", value, Value(int64_t{2})),
                     Value(int64_t{name == "odd" ? 1 : 0}));
  }
  if (name == "lower" || name == "upper")
    return run.truth(run.method(Value(run.str(value)), "is" + std::string(name), {}));
  if (name == "escaped") return value.is_string() && value.text().safe;
  if (name != "filter" && name != "test") return std::nullopt;
  if (!value.is_string()) return false;
  if (name == "filter") {
    return find_builtin(text_filters(), value.string()) != nullptr ||
           find_builtin(list_filters(), value.string()) != nullptr;
  }
  run.fail("the test \"test\" is not supported");
}

}  // namespace

bool Run::test(const std::string& name, const Value& value, const Arguments& all) {
  step();
  const auto comparison = std::find_if(std::begin(kComparisons), std::end(kComparisons),
                                       [&](const Comparison& entry) { return entry.name == name; });
  if (comparison != std::end(kComparisons)) {
    if (all.positional.size() != 1 || !all.named.empty())
      fail("the test " + in_quotes(name) + " takes one argument");
    return comparison->body(*this, value, all.positional[0]);
  }
  const std::optional<bool> result = test_kind(*this, name, value);
  if (!result) fail("the test " + in_quotes(name) + " is not supported");
  if (!all.positional.empty() || !all.named.empty())
    fail("the test " + in_quotes(name) + " takes no argument");
  return *result;
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

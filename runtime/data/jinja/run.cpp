// Comparison, iteration and length of values as Python defines them.
#include "runtime/data/jinja/object.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.h"
#include "runtime/data/jinja/lexer.h"
#include "runtime/data/jinja/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
void Run::fail(const std::string& message) const { fail_at_line(name_, line, message); }

void Run::require_defined(const Value& value) const {
  if (value.is_undefined()) fail(value.undefined_message());
}

Value Run::text(std::string bytes) {
  memory(static_cast<int64_t>(bytes.size()) + 64);
  return Value(std::move(bytes));
}
Value Run::text(std::string bytes, bool safe) {
  memory(static_cast<int64_t>(bytes.size()) + 64);
  return Value(std::move(bytes), safe);
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
      return value.object()->length().value_or(1) != 0;
  }
  return false;
}

std::string Run::type_name(const Value& value) const {
  static constexpr const char* kNames[] = {"Undefined", "None", "bool",  "int",  "float",
                                           "str",       "list", "tuple", "dict", ""};
  return value.is(Kind::kObject) ? value.object()->type() : kNames[static_cast<int>(value.kind())];
}

namespace {

// Ranges are equal when their items are, keys and items of dicts as sets; all else by identity.
bool same_objects(Run& run, const Value& a, const Value& b) {
  if (a.object() == b.object()) return true;
  const auto* x = dynamic_cast<const View*>(a.object().get());
  const auto* y = dynamic_cast<const View*>(b.object().get());
  if (x == nullptr || y == nullptr || x->type() != y->type()) return false;
  if (x->type() == "dict_values" || x->length() != y->length()) return false;
  if (x->is_range()) return run.equal(Value::list(x->all()), Value::list(y->all()));
  return std::all_of(x->all().begin(), x->all().end(), [&](const Value& item) {
    return std::any_of(y->all().begin(), y->all().end(),
                       [&](const Value& other) { return run.equal(item, other); });
  });
}

}  // namespace

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
  return a.is(Kind::kObject) ? same_objects(*this, a, b) : true;
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
  } else if (auto own = value.is(Kind::kObject) ? value.object()->items(*this) : std::nullopt) {
    items = std::move(*own);
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
  if (value.is(Kind::kObject)) {
    if (const auto own = value.object()->length()) return *own;
  }
  fail("a value of type " + type_name(value) + " has no length");
}

}  // namespace athanor::jinja

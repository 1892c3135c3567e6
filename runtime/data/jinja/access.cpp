// Attributes, items and slices, in the order in which Jinja's sandbox looks for them.
#include <algorithm>

#include "runtime/data/jinja/call.h"
#include "runtime/data/jinja/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

// What Python objects have besides methods: an error here, not an undefined value.
bool is_lacking(const Value& object, std::string_view name) {
  static constexpr std::string_view kNumber[] = {
      "real",      "imag",     "numerator",  "denominator", "conjugate",        "bit_length",
      "bit_count", "to_bytes", "from_bytes", "hex",         "as_integer_ratio", "is_integer"};
  return object.is_number() &&
         std::find(std::begin(kNumber), std::end(kNumber), name) != std::end(kNumber);
}

// Python's getattr; the sandbox refuses what would change a value.
std::optional<Value> own_attribute(Run& run, const Value& object, const std::string& name) {
  if (name.starts_with("__")) run.fail("the attribute " + in_quotes(name) + " is not safe");
  if (object.is(Kind::kObject)) {
    if (auto field = object.object()->field(run, name)) return field;
    return std::nullopt;
  }
  if (is_lacking(object, name)) {
    run.fail("the attribute " + in_quotes(name) + " of " + run.type_name(object) +
             " is not supported");
  }
  if (object.is_group() && (name == "grouper" || name == "list"))
    return object.items()[name == "list" ? 1 : 0];
  if (!is_attribute_of(object, name)) return std::nullopt;
  if (changes(object, name)) {
    return Value::undefined("access to attribute '" + name + "' of '" + run.type_name(object) +
                            "' object is unsafe");
  }
  return Value(std::shared_ptr<Object>(std::make_shared<Method>(object, name)));
}

// Python's object[index].
std::optional<Value> own_item(Run& run, const Value& object, const Value& index) {
  if (object.is(Kind::kDict) && is_hashable(index)) {
    if (const Value* value = object.dict().find(index)) return *value;
  }
  const auto* view =
      object.is(Kind::kObject) ? dynamic_cast<View*>(object.object().get()) : nullptr;
  const bool is_range = view != nullptr && view->is_range();
  if (index.is_integer() && (object.is_sequence() || object.is_string() || is_range)) {
    const int64_t size = run.length(object);
    const int64_t at = index.integer() + (index.integer() < 0 ? size : 0);
    if (at >= 0 && at < size) {
      if (is_range) return view->all()[static_cast<size_t>(at)];
      if (object.is_sequence()) return object.items()[static_cast<size_t>(at)];
      return run.slice(object, Value(at), Value(at + 1), Value::none());
    }
  }
  return std::nullopt;
}

}  // namespace

Value Run::attribute(const Value& object, const std::string& name) {
  require_defined(object);
  if (auto own = own_attribute(*this, object, name)) return *own;
  if (auto own = own_item(*this, object, Value(name))) return *own;
  return Value::undefined("'" + type_name(object) + " object' has no attribute '" + name + "'");
}

Value Run::item(const Value& object, const Value& index) {
  require_defined(object);
  if (auto own = own_item(*this, object, index)) return *own;
  if (index.is_string()) {
    if (auto own = own_attribute(*this, object, index.string())) return *own;
  }
  return Value::undefined("'" + type_name(object) + " object' has no such element");
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
  const bool safe = object.is_string() && object.text().safe;
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
    if (last <= first) return text("", safe);
    return text(
        object.string().substr(static_cast<size_t>(first), static_cast<size_t>(last - first)),
        safe);
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
  if (object.is_string()) return text(to_utf8(picked), safe);
  return object.is(Kind::kTuple) ? tuple(std::move(items)) : list(std::move(items));
}

}  // namespace athanor::jinja

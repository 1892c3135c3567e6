// Construction of values, their kinds, and dictionaries.
#include "runtime/data/jinja/value.h"

#include <algorithm>
#include <cmath>

#include "runtime/data/jinja/unicode.h"

namespace athanor::jinja {
namespace {

std::shared_ptr<Sequence> new_sequence(List items, bool is_tuple, bool is_group) {
  auto sequence = std::make_shared<Sequence>();
  for (const Value& item : items) sequence->depth = std::max(sequence->depth, item.depth() + 1);
  sequence->items = std::move(items);
  sequence->is_tuple = is_tuple;
  sequence->is_group = is_group;
  return sequence;
}

// Numbers first (all comparable with each other), then the kinds one by one.
int key_rank(const Value& value) {
  return value.is_number() ? 0 : 1 + static_cast<int>(value.kind());
}

// -1, 0, 1; exact between int64 and double.
int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integer() && b.is_integer()) {
    return (a.integer() > b.integer()) - (a.integer() < b.integer());
  }
  const long double x = a.is_integer() ? static_cast<long double>(a.integer()) : a.real();
  const long double y = b.is_integer() ? static_cast<long double>(b.integer()) : b.real();
  return (x > y) - (x < y);
}

}  // namespace

int64_t Text::characters() const {
  int64_t count = characters_.load(std::memory_order_relaxed);
  if (count < 0) {
    count = count_characters(bytes);
    characters_.store(count, std::memory_order_relaxed);
  }
  return count;
}

Value::Value(std::string text, bool safe)
    : data_(std::make_shared<const Text>(std::move(text), safe)) {}
Value::Value(Dict dict) : data_(std::make_shared<const Dict>(std::move(dict))) {}

Value Value::undefined(std::string why) {
  Value value;
  value.data_ = std::make_shared<const std::string>(std::move(why));
  return value;
}

Value Value::list(List items) {
  Value value;
  value.data_ = std::shared_ptr<const Sequence>(new_sequence(std::move(items), false, false));
  return value;
}

Value Value::tuple(List items) {
  Value value;
  value.data_ = std::shared_ptr<const Sequence>(new_sequence(std::move(items), true, false));
  return value;
}

Value Value::group(Value grouper, List items) {
  Value value;
  value.data_ = std::shared_ptr<const Sequence>(
      new_sequence({std::move(grouper), Value::list(std::move(items))}, true, true));
  return value;
}

Kind Value::kind() const {
  switch (data_.index()) {
    case 0:
      return Kind::kUndefined;
    case 1:
      return Kind::kNone;
    case 2:
      return Kind::kBool;
    case 3:
      return Kind::kInt;
    case 4:
      return Kind::kFloat;
    case 5:
      return Kind::kString;
    case 6:
      return std::get<std::shared_ptr<const Sequence>>(data_)->is_tuple ? Kind::kTuple
                                                                        : Kind::kList;
    case 7:
      return Kind::kDict;
    default:
      return Kind::kObject;
  }
}

int64_t Value::integer() const {
  if (const bool* flag = std::get_if<bool>(&data_)) return *flag ? 1 : 0;
  return std::get<int64_t>(data_);
}

double Value::real() const {
  if (const double* number = std::get_if<double>(&data_)) return *number;
  return static_cast<double>(integer());
}

const List& Value::items() const { return std::get<std::shared_ptr<const Sequence>>(data_)->items; }

bool Value::is_group() const {
  return is(Kind::kTuple) && std::get<std::shared_ptr<const Sequence>>(data_)->is_group;
}

std::string Value::undefined_message() const {
  const Undefined& why = std::get<Undefined>(data_);
  return why ? *why : "the value is undefined";
}

int64_t Value::depth() const {
  if (const auto* sequence = std::get_if<std::shared_ptr<const Sequence>>(&data_)) {
    return (*sequence)->depth;
  }
  if (const auto* dict = std::get_if<std::shared_ptr<const Dict>>(&data_)) return (*dict)->depth();
  return 0;
}

bool Value::same_as(const Value& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::kUndefined:
      return std::get<Undefined>(data_) == std::get<Undefined>(other.data_);
    case Kind::kNone:
      return true;
    case Kind::kBool:
      return boolean() == other.boolean();
    case Kind::kInt:
      return integer() == other.integer();
    case Kind::kFloat:
      return real() == other.real();
    case Kind::kString:
      return std::get<5>(data_) == std::get<5>(other.data_);
    case Kind::kList:
    case Kind::kTuple:
      return std::get<6>(data_) == std::get<6>(other.data_);
    case Kind::kDict:
      return std::get<7>(data_) == std::get<7>(other.data_);
    case Kind::kObject:
      return object() == other.object();
  }
  return false;
}

bool is_hashable(const Value& value) {
  if (value.is(Kind::kTuple)) {
    return std::all_of(value.items().begin(), value.items().end(), is_hashable);
  }
  return !value.is(Kind::kList) && !value.is(Kind::kDict);
}

bool KeyLess::operator()(const Value& a, const Value& b) const {
  if (key_rank(a) != key_rank(b)) return key_rank(a) < key_rank(b);
  if (a.is_number()) return compare_numbers(a, b) < 0;
  switch (a.kind()) {
    case Kind::kString:
      return a.string() < b.string();
    case Kind::kTuple:
      return std::lexicographical_compare(a.items().begin(), a.items().end(), b.items().begin(),
                                          b.items().end(), *this);
    case Kind::kObject:
      return a.object() < b.object();
    default:
      return false;  // None and undefined equal themselves
  }
}

void Dict::set(Value key, Value value) {
  depth_ = std::max({depth_, key.depth() + 1, value.depth() + 1});
  if (const std::optional<size_t> at = place(key)) {
    entries_[*at].second = std::move(value);
    return;
  }
  entries_.emplace_back(std::move(key), std::move(value));
  if (entries_.size() < kIndexFrom) return;
  const size_t first = entries_.size() == kIndexFrom ? 0 : entries_.size() - 1;
  for (size_t i = first; i < entries_.size(); ++i) index_.emplace(entries_[i].first, i);
}

std::optional<size_t> Dict::place(const Value& key) const {
  if (!index_.empty()) {
    const auto entry = index_.find(key);
    if (entry == index_.end()) return std::nullopt;
    return entry->second;
  }
  const KeyLess less;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (!less(entries_[i].first, key) && !less(key, entries_[i].first)) return i;
  }
  return std::nullopt;
}

const Value* Dict::find(const Value& key) const {
  const std::optional<size_t> at = place(key);
  return at ? &entries_[*at].second : nullptr;
}

const Value* Dict::find(std::string_view key) const {
  if (!index_.empty()) return find(Value(std::string(key)));
  for (const Entry& entry : entries_) {
    if (entry.first.is_string() && entry.first.string() == key) return &entry.second;
  }
  return nullptr;
}

}  // namespace athanor::jinja

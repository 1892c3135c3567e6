// Values of a template with Python's meaning: shared, immutable (namespaces and iterators are the
// exceptions, and are Objects), strings indexed by code point.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace athanor::jinja {

class Dict;
class Object;
class Value;
using List = std::vector<Value>;

enum class Kind { kUndefined, kNone, kBool, kInt, kFloat, kString, kList, kTuple, kDict, kObject };

struct Text {
  explicit Text(std::string text, bool is_safe = false) : bytes(std::move(text)), safe(is_safe) {}

  int64_t characters() const;  // counted once
  bool one_byte_each() const { return characters() == static_cast<int64_t>(bytes.size()); }

  const std::string bytes;
  const bool safe;  // went through the filter `safe` or `escape` (Markup)

 private:
  mutable std::atomic<int64_t> characters_{-1};
};

struct Sequence;

class Value {
 public:
  Value() = default;  // undefined
  explicit Value(bool value) : data_(value) {}
  explicit Value(int64_t value) : data_(value) {}
  explicit Value(double value) : data_(value) {}
  explicit Value(std::string text, bool safe = false);
  explicit Value(Dict dict);
  explicit Value(std::shared_ptr<Object> object) : data_(std::move(object)) {}

  static Value none() { return Value(None{}); }
  static Value undefined(std::string why);  // the message when it is used
  static Value list(List items);
  static Value tuple(List items);
  static Value group(Value grouper, List items);  // a tuple with names, of the filter groupby

  Kind kind() const;
  bool is(Kind k) const { return kind() == k; }
  bool is_undefined() const { return is(Kind::kUndefined); }
  bool is_none() const { return is(Kind::kNone); }
  bool is_string() const { return is(Kind::kString); }
  bool is_sequence() const { return is(Kind::kList) || is(Kind::kTuple); }
  bool is_number() const { return is(Kind::kBool) || is(Kind::kInt) || is(Kind::kFloat); }
  bool is_integer() const { return is(Kind::kBool) || is(Kind::kInt); }

  // Of the matching kind only.
  bool boolean() const { return std::get<bool>(data_); }
  int64_t integer() const;  // of a bool or int
  double real() const;      // of any number
  const Text& text() const { return *std::get<std::shared_ptr<const Text>>(data_); }
  const std::string& string() const { return text().bytes; }
  const List& items() const;  // of a list or tuple
  bool is_group() const;
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  const std::shared_ptr<Object>& object() const { return std::get<std::shared_ptr<Object>>(data_); }
  std::string undefined_message() const;

  int64_t depth() const;  // levels of containers
  // The same object in memory, or equal simple values: Python's `is`.
  bool same_as(const Value& other) const;

 private:
  struct None {};
  using Undefined = std::shared_ptr<const std::string>;
  explicit Value(None) : data_(None{}) {}

  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const Text>,
               std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>,
               std::shared_ptr<Object>>
      data_;
};

struct Sequence {
  List items;
  bool is_tuple = false;
  bool is_group = false;
  int64_t depth = 1;
};

// Python's equality and order among keys; unlike types are ordered by kind. Only for hashable ones.
struct KeyLess {
  bool operator()(const Value& a, const Value& b) const;
};
bool is_hashable(const Value& value);

// Entries in the order in which their keys came first.
class Dict {
 public:
  using Entry = std::pair<Value, Value>;

  // Keys must be hashable.
  void set(Value key, Value value);
  void set(std::string_view key, Value value) { set(Value(std::string(key)), std::move(value)); }
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  const std::vector<Entry>& entries() const { return entries_; }
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  int64_t depth() const { return depth_; }

 private:
  static constexpr size_t kIndexFrom = 9;  // fewer entries are looked through

  std::optional<size_t> place(const Value& key) const;

  std::vector<Entry> entries_;
  std::map<Value, size_t, KeyLess> index_;
  int64_t depth_ = 1;
};

}  // namespace athanor::jinja

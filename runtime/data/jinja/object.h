// Values that are more than data: callables, namespaces, views of dicts, iterators, loops.
#pragma once

#include <deque>
#include <functional>

#include "runtime/data/jinja/run.h"

namespace athanor::jinja {

class Object {
 public:
  virtual ~Object() = default;
  virtual std::string type() const = 0;
  virtual std::optional<Value> field(Run&, std::string_view) { return std::nullopt; }
  virtual bool callable() const { return false; }
  virtual Value call(Run& run, const Arguments&) { run.fail("a " + type() + " cannot be called"); }
  virtual std::optional<List> items(Run&) { return std::nullopt; }  // nothing: no iteration
  virtual std::optional<int64_t> length() const { return std::nullopt; }
  virtual std::string repr(Run& run) { run.fail("the text of a " + type() + " is not supported"); }
};

class Function : public Object {
 public:
  using Body = std::function<Value(Run&, const Arguments&)>;
  Function(std::string name, Body body) : name_(std::move(name)), body_(std::move(body)) {}
  std::string type() const override { return name_; }
  std::optional<Value> field(Run& run, std::string_view name) override {
    run.fail("the attribute \"" + std::string(name) + "\" of a " + name_ + " is not supported");
  }
  bool callable() const override { return true; }
  Value call(Run& run, const Arguments& arguments) override { return body_(run, arguments); }

 private:
  std::string name_;
  Body body_;
};

Value function(std::string name, Function::Body body);

class Namespace : public Object {
 public:
  std::string type() const override { return "Namespace"; }
  std::optional<Value> field(Run&, std::string_view name) override {
    const Value* value = fields.find(name);
    return value ? std::optional<Value>(*value) : std::nullopt;
  }
  std::string repr(Run& run) override;
  Dict fields;
  bool printing = false;
};

// dict_keys, dict_values, dict_items and range: sized, iterated again and again.
class View : public Object {
 public:
  View(std::string type, List items, std::string text = "")
      : type_(std::move(type)), items_(std::move(items)), text_(std::move(text)) {}
  std::string type() const override { return type_; }
  std::optional<Value> field(Run& run, std::string_view name) override;
  std::optional<List> items(Run&) override { return items_; }
  std::optional<int64_t> length() const override { return static_cast<int64_t>(items_.size()); }
  std::string repr(Run& run) override;
  bool is_range() const { return type_ == "range"; }
  const List& all() const { return items_; }

 private:
  std::string type_;
  List items_;
  std::string text_;  // of a range
};

// What a filter of Jinja yields: read once.
class Generator : public Object {
 public:
  explicit Generator(List items) : items_(std::move(items)) {}
  std::string type() const override { return "generator"; }
  std::optional<List> items(Run&) override { return std::exchange(items_, {}); }

 private:
  List items_;
};

Value generator(List items);

// The variable `loop`. Items come one by one, so that a filter of the loop sees what its body did.
class Loop : public Object {
 public:
  using Source = std::function<std::optional<Value>()>;
  using Recurse = std::function<Value(const Value&)>;  // null: not recursive
  Loop(Source source, int64_t depth0, Recurse recurse)
      : source_(std::move(source)), depth0_(depth0), recurse_(std::move(recurse)) {}

  std::string type() const override { return "LoopContext"; }
  std::optional<Value> field(Run& run, std::string_view name) override;
  std::optional<int64_t> length() const override { return std::nullopt; }
  bool callable() const override { return true; }
  Value call(Run& run, const Arguments& arguments) override;
  std::string repr(Run& run) override;

  bool advance();  // to the next item, which is then `current`
  const Value& current() const { return current_; }
  void forget() { source_ = nullptr, recurse_ = nullptr, ahead_.clear(); }

 private:
  bool peek();
  int64_t size();

  Source source_;
  int64_t depth0_;
  Recurse recurse_;
  std::deque<Value> ahead_;
  int64_t at_ = -1;
  Value before_;
  Value current_;
  std::optional<int64_t> size_;
  std::optional<List> changed_;
};

}  // namespace athanor::jinja

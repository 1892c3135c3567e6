// One rendering: what it may still spend, where it is, and the operations of Python's values.
// Internal to this folder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/jinja/template.h"

namespace athanor::jinja {

struct Arguments {
  List positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Run {
 public:
  Run(std::string name, std::string date, const Limits& limits)
      : name_(std::move(name)), date_(std::move(date)), limits_(limits) {}

  int line = 1;

  [[noreturn]] void fail(const std::string& message) const;
  void step(int64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps)
      fail("the template takes more than " + std::to_string(limits_.steps) + " steps");
  }
  void memory(int64_t bytes) {
    bytes_ += bytes;
    if (bytes_ > limits_.bytes)
      fail("the template makes more than " + std::to_string(limits_.bytes) + " bytes of values");
    step(bytes / 256);
  }
  const Limits& limits() const { return limits_; }
  const std::string& date() const { return date_; }

  Value text(std::string bytes);
  Value list(List items);
  Value tuple(List items);

  // The value of parameter `at` (or of that name), undefined when not given.
  Value argument(const Arguments& all, size_t at, std::string_view name,
                 Value fallback = Value::none());
  void check_arguments(const Arguments& all, size_t most, std::vector<std::string_view> names,
                       const std::string& what) const;

  bool truth(const Value& value) const;
  std::string str(const Value& value);
  std::string repr(const Value& value);
  std::string json(const Value& value, int64_t indent, const std::string& item,
                   const std::string& key, bool ascii, bool sorted, int64_t level = 0);
  std::string type_name(const Value& value) const;
  bool equal(const Value& a, const Value& b);
  bool less(const Value& a, const Value& b);
  bool has(const Value& container, const Value& item);
  List iterate(const Value& value);
  int64_t length(const Value& value);
  Value binary(const std::string& op, const Value& a, const Value& b);
  Value attribute(const Value& object, const std::string& name);
  Value item(const Value& object, const Value& index);
  Value slice(const Value& object, const Value& begin, const Value& end, const Value& step);
  Value filter(const std::string& name, const Value& value, const Arguments& arguments);
  bool test(const std::string& name, const Value& value, const Arguments& arguments);
  Value method(const Value& self, const std::string& name, const Arguments& arguments);
  Value now(const std::string& format);

 private:
  void require_defined(const Value& value) const;

  std::string name_;
  std::string date_;
  Limits limits_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
};

// Callables, namespaces and loops.
class Object {
 public:
  virtual ~Object() = default;
  virtual std::string type() const = 0;
  virtual const Value* field(Run&, std::string_view) { return nullptr; }
  virtual bool callable() const { return false; }
  virtual Value call(Run& run, const Arguments&) { run.fail(type() + " cannot be called"); }
};

class Method : public Object {
 public:
  Method(Value self, std::string name) : self_(std::move(self)), name_(std::move(name)) {}
  std::string type() const override { return "method " + name_; }
  bool callable() const override { return true; }
  Value call(Run& run, const Arguments& arguments) override {
    return run.method(self_, name_, arguments);
  }

 private:
  Value self_;
  std::string name_;
};

bool is_method(const Value& self, std::string_view name);

}  // namespace athanor::jinja

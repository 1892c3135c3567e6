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

struct JsonStyle {
  bool pretty = false;
  std::string indent;  // of one level
  std::string item_end = ", ";
  std::string key_end = ": ";
  bool ascii = false;
  bool sorted = false;
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

  // A string that is Markup when `safe`.
  Value text(std::string bytes, bool safe);

  bool truth(const Value& value) const;
  std::string str(const Value& value);
  std::string repr(const Value& value);
  std::string json(const Value& value, const JsonStyle& style, int64_t level = 0);
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
  // `template % arguments` and `template.format(arguments)`.
  Value format_percent(const Value& format, const Value& arguments);
  Value format_braces(const Value& format, const Arguments& arguments);
  std::string format_spec(const Value& value, std::string_view spec);
  Value now(const std::string& format);
  void require_defined(const Value& value) const;

 private:
  Value numbers(const std::string& op, const Value& a, const Value& b);
  Value repeat(const Value& what, int64_t times);

  std::string name_;
  std::string date_;
  Limits limits_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace athanor::jinja

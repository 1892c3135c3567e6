// Calls of filters and methods: arguments matched with parameters. Internal to this folder.
#pragma once

#include <span>

#include "runtime/data/jinja/object.h"

namespace athanor::jinja {

struct Call {
  Run& run;
  const Value& self;
  const std::string& name;
  const Arguments& all;
  List bound;  // by parameter; a null object where nothing was given

  bool has(size_t i) const {
    return i < bound.size() && !(bound[i].is(Kind::kObject) && bound[i].object() == nullptr);
  }
  Value get(size_t i, Value fallback = Value::none()) const {
    return has(i) ? bound[i] : std::move(fallback);
  }
  bool flag(size_t i, bool fallback = false) const {
    return has(i) ? run.truth(bound[i]) : fallback;
  }
  int64_t integer(size_t i, int64_t fallback) const {
    if (!has(i)) return fallback;
    if (!bound[i].is_integer()) fail("expected an integer, found " + run.type_name(bound[i]));
    return bound[i].integer();
  }
  const std::string& string(size_t i) const {
    if (!has(i) || !bound[i].is_string()) fail("expected a string, found " + run.type_name(get(i)));
    return bound[i].string();
  }
  [[noreturn]] void fail(const std::string& message) const { run.fail(name + ": " + message); }
};

// `parameters` are words; one that is `_` has no name to give it by; "*" takes all as they are.
struct Builtin {
  std::string_view name;
  Value (*body)(Call&);
  size_t least;
  std::string_view parameters;
};

const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name);
List bind_arguments(Run& run, const std::string& what, size_t least, std::string_view parameters,
                    const Arguments& all);

std::span<const Builtin> text_filters();
std::span<const Builtin> list_filters();
std::span<const Builtin> number_filters();
std::span<const Builtin> string_methods();
std::span<const Builtin> string_search_methods();

// Python's operations on text, shared by methods and filters.
std::string strip(const std::string& text, const Value& characters, bool left, bool right);
std::string replace(Run& run, const std::string& text, const std::string& from,
                    const std::string& to, int64_t count);
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);
std::string escape_html(std::string_view text);
std::string pad(Run& run, const std::string& text, int64_t width, char32_t fill, char align);
std::string string_repr(std::string_view text);
std::string string_json(std::string_view text, bool ascii);
std::string float_text(double value);
std::optional<int64_t> parse_integer(Run& run, std::string_view text, int64_t base);
std::optional<double> parse_float(std::string_view text);

// Python's names: methods it has, and those that would change the value.
bool is_attribute_of(const Value& self, std::string_view name);
bool changes(const Value& self, std::string_view name);

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

}  // namespace athanor::jinja

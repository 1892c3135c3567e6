// A chat template: Jinja as transformers' chat_template allows it, bounded, since templates are
// not trusted.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/jinja/value.h"
#include "runtime/data/text_span.h"

namespace athanor::jinja {

struct Limits {
  int64_t steps = 20'000'000;          // nodes evaluated and work inside filters
  int64_t bytes = int64_t{256} << 20;  // of all values made, over the whole rendering
  int64_t output = int64_t{64} << 20;
  int64_t depth = 400;  // of nested statements, expressions and calls
};

struct Rendered {
  std::string text;
  std::vector<ByteSpan> generation;  // {% generation %} blocks, in order
  // A generation block stood inside a macro, a set block or another one: its place is not known.
  bool generation_misplaced = false;
};

class Template {
 public:
  // `name` opens each message; kBadInput when the source is malformed or has what is not supported.
  Template(std::string_view source, std::string name);
  ~Template();
  Template(Template&&) noexcept;

  // `variables` is a dict. `date` (YYYY-MM-DD) is what strftime_now sees; empty: the local time.
  Rendered render(const Value& variables, const std::string& date = "",
                  const Limits& limits = {}) const;

 private:
  struct Tree;
  std::unique_ptr<Tree> tree_;
  std::string name_;
};

// One JSON value with its order of keys; kBadInput "name: …".
Value value_from_json(std::string_view json, const std::string& name);

}  // namespace athanor::jinja

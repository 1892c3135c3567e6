// A template from its source, and its variables from JSON.
#include "runtime/data/jinja/template.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/data/jinja/interpreter.h"
#include "runtime/data/json_text.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

Value from_json(const nlohmann::ordered_json& json, const std::string& name) {
  if (json.is_null()) return Value::none();
  if (json.is_boolean()) return Value(json.get<bool>());
  if (json.is_string()) return Value(json.get<std::string>());
  if (json.is_number_float()) return Value(json.get<double>());
  if (json.is_number_unsigned() && json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    throw Error(ErrorKind::kBadInput, name + ": integer " + json.dump() + " has more than 64 bits");
  }
  if (json.is_number()) return Value(json.get<int64_t>());
  if (json.is_array()) {
    List items;
    for (const auto& item : json) items.push_back(from_json(item, name));
    return Value::list(std::move(items));
  }
  Dict dict;
  for (const auto& [key, item] : json.items()) dict.set(key, from_json(item, name));
  return Value(std::move(dict));
}

}  // namespace

struct Template::Tree {
  Body body;
};

Template::Template(std::string_view source, std::string name)
    : tree_(std::make_unique<Tree>()), name_(std::move(name)) {
  if (const auto at = first_invalid_utf8(source)) {
    throw Error(ErrorKind::kBadInput, name_ + ": not valid UTF-8 at byte " + std::to_string(*at));
  }
  tree_->body = parse(source, name_);
}
Template::~Template() = default;
Template::Template(Template&&) noexcept = default;

Rendered Template::render(const Value& variables, const std::string& date,
                          const Limits& limits) const {
  Interpreter interpreter(name_, date, limits);
  return interpreter.render(tree_->body, variables);
}

Value value_from_json(std::string_view json, const std::string& name) {
  parse_json(json, name);  // depth, and errors with their place
  return from_json(nlohmann::ordered_json::parse(json), name);
}

}  // namespace athanor::jinja

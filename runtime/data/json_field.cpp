// Typed access to JSON with messages that name the field.
#include "runtime/data/json_field.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/data/utf8.h"

namespace athanor {

JsonField::JsonField(const nlohmann::json& value, std::string place, std::string path)
    : value_(&value), place_(std::move(place)), path_(std::move(path)) {}

void JsonField::fail(const std::string& message) const {
  throw Error(ErrorKind::kBadInput, place_ + ": " + (path_.empty() ? "" : path_ + ": ") + message);
}

void JsonField::wrong_type(std::string_view expected) const {
  fail("expected " + std::string(expected) + ", found " + value_->type_name());
}

void JsonField::require_object() const {
  if (!value_->is_object()) wrong_type("an object");
}

void JsonField::require_array() const {
  if (!value_->is_array()) wrong_type("an array");
}

JsonField JsonField::at(std::string_view key) const {
  std::optional<JsonField> member = find(key);
  if (!member) fail("field " + in_quotes(key) + " is missing");
  return *member;
}

std::optional<JsonField> JsonField::find(std::string_view key) const {
  require_object();
  const auto member = value_->find(key);
  if (member == value_->end() || member->is_null()) return std::nullopt;
  const std::string name(key);
  return JsonField(*member, place_, path_.empty() ? name : path_ + "." + name);
}

std::vector<std::string> JsonField::keys() const {
  require_object();
  std::vector<std::string> names;
  for (const auto& member : value_->items()) names.push_back(member.key());
  return names;
}

std::vector<JsonField> JsonField::items() const {
  require_array();
  std::vector<JsonField> fields;
  fields.reserve(value_->size());
  for (size_t i = 0; i < value_->size(); ++i) {
    fields.emplace_back((*value_)[i], place_, path_ + "[" + std::to_string(i) + "]");
  }
  return fields;
}

const std::string& JsonField::string() const {
  if (!value_->is_string()) wrong_type("a string");
  return value_->get_ref<const std::string&>();
}

int64_t JsonField::integer() const {
  if (!value_->is_number_integer()) wrong_type("an integer");
  if (value_->is_number_unsigned() &&
      value_->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    fail("integer " + value_->dump() + " is too large");
  }
  return value_->get<int64_t>();
}

bool JsonField::boolean() const {
  if (!value_->is_boolean()) wrong_type("true or false");
  return value_->get<bool>();
}

std::string JsonField::string_or(std::string_view key, std::string_view fallback) const {
  const std::optional<JsonField> member = find(key);
  return member ? member->string() : std::string(fallback);
}

bool JsonField::boolean_or(std::string_view key, bool fallback) const {
  const std::optional<JsonField> member = find(key);
  return member ? member->boolean() : fallback;
}

}  // namespace athanor

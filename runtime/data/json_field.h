// A JSON value that knows where it came from, so that reading a wrong type names file and field.
// Internal to runtime/data.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace athanor {

class JsonField {
 public:
  // `place` opens each message (a file, or file:line:column). The value must outlive the field.
  JsonField(const nlohmann::json& value, std::string place, std::string path = "");

  const nlohmann::json& value() const { return *value_; }
  const std::string& place() const { return place_; }
  const std::string& path() const { return path_; }

  // Members of an object. find: absent and null are the same.
  JsonField at(std::string_view key) const;
  std::optional<JsonField> find(std::string_view key) const;
  std::vector<std::string> keys() const;

  // Elements of an array.
  std::vector<JsonField> items() const;

  const std::string& string() const;
  int64_t integer() const;
  bool boolean() const;
  std::string string_or(std::string_view key, std::string_view fallback) const;
  bool boolean_or(std::string_view key, bool fallback) const;

  void require_object() const;
  void require_array() const;

  // Throws kBadInput "place: path: message".
  [[noreturn]] void fail(const std::string& message) const;

 private:
  [[noreturn]] void wrong_type(std::string_view expected) const;

  const nlohmann::json* value_;
  std::string place_;
  std::string path_;
};

}  // namespace athanor

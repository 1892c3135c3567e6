// Typed access to config.json with errors that name file, key, found and needed.
// Internal to runtime/model: the only header here that shows the JSON library.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "core/error.h"

namespace athanor {

class JsonReader {
 public:
  JsonReader(const nlohmann::json& json, std::string file) : json_(json), file_(std::move(file)) {}

  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }
  const nlohmann::json& raw(const char* key) const { return json_[key]; }

  std::string text(const char* key) const {
    if (!has(key) || !json_[key].is_string()) fail(key, "a string");
    return json_[key].get<std::string>();
  }
  std::string text(const char* key, const std::string& fallback) const {
    return has(key) ? text(key) : fallback;
  }
  // A size between 1 and 2^31.
  int64_t size(const char* key) const {
    if (!has(key) || !json_[key].is_number_integer()) fail(key, "a positive integer");
    const auto value = json_[key].get<int64_t>();
    if (value < 1 || value > (int64_t{1} << 31)) fail(key, "an integer from 1 to 2^31");
    return value;
  }
  int64_t size(const char* key, int64_t fallback) const { return has(key) ? size(key) : fallback; }
  double positive(const char* key, double fallback) const {
    if (!has(key)) return fallback;
    if (!json_[key].is_number() || !(json_[key].get<double>() > 0)) fail(key, "a positive number");
    return json_[key].get<double>();
  }
  bool boolean(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!json_[key].is_boolean()) fail(key, "true or false");
    return json_[key].get<bool>();
  }
  [[noreturn]] void fail(const char* key, const std::string& needed) const {
    const std::string found = json_.contains(key) ? json_[key].dump().substr(0, 80) : "nothing";
    throw Error(ErrorKind::kBadInput,
                file_ + ": " + key + ": found " + found + ", needed " + needed);
  }

 private:
  const nlohmann::json& json_;
  std::string file_;
};

}  // namespace athanor

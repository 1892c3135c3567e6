// Typed access to config.json with errors that name file, key, found and needed.
// Internal to runtime/model: the only header here that shows the JSON library.
#pragma once

#include <initializer_list>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "core/error.h"
#include "runtime/io/strict_json.h"

namespace athanor {

class JsonReader {
 public:
  JsonReader(const nlohmann::json& json, std::string file) : json_(json), file_(std::move(file)) {}

  const std::string& file() const { return file_; }
  bool has(const char* key) const {
    known_.insert(key);
    return json_.contains(key) && !json_[key].is_null();
  }
  // Also true where the value is null.
  bool present(const char* key) const { return json_.contains(key); }
  // Keys without influence on the result.
  void ignore(std::initializer_list<const char*> keys) const {
    known_.insert(keys.begin(), keys.end());
  }
  // A key that nobody asked for may change the result: it is refused by name.
  void refuse_unknown() const {
    for (const auto& [key, value] : json_.items()) {
      const bool neutral = value.is_null() || value == false;
      if (neutral || key.starts_with("_") || known_.contains(key)) continue;
      fail(key.c_str(), "a file without this key, whose meaning for this model_type is not known");
    }
  }
  const nlohmann::json& raw(const char* key) const { return json_[key]; }

  // Where a nested block of the file is, for its own reader.
  std::string place(const char* key) const { return file_ + ": " + key; }

  std::string text(const char* key) const {
    if (!has(key) || !json_[key].is_string()) fail(key, "a string");
    return json_[key].get<std::string>();
  }
  std::string text(const char* key, const std::string& fallback) const {
    return has(key) ? text(key) : fallback;
  }
  // A size from 1 to `limit`.
  int64_t size(const char* key, int64_t limit) const {
    const std::string needed = "an integer from 1 to " + std::to_string(limit);
    if (!has(key) || !json_[key].is_number_integer()) fail(key, needed);
    const auto value = json_[key].get<int64_t>();  // beyond 2^63: negative
    if (value < 1 || value > limit) fail(key, needed);
    return value;
  }
  int64_t size_or(const char* key, int64_t limit, int64_t fallback) const {
    return has(key) ? size(key, limit) : fallback;
  }
  double positive(const char* key, double fallback) const {
    if (!has(key)) return fallback;
    // Kernels take it as float32, where a smaller one is zero and a larger one infinite.
    using Limits = std::numeric_limits<float>;
    const double value = json_[key].is_number() ? json_[key].get<double>() : 0;
    if (!(value >= Limits::min() && value <= Limits::max())) {
      fail(key, "a positive number that float32 holds");
    }
    return value;
  }
  bool boolean(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!json_[key].is_boolean()) fail(key, "true or false");
    return json_[key].get<bool>();
  }
  [[noreturn]] void fail(const char* key, const std::string& needed) const {
    const std::string found = json_.contains(key) ? shown(json_[key]) : "nothing";
    throw Error(ErrorKind::kBadInput,
                file_ + ": " + key + ": found " + found + ", needed " + needed);
  }

 private:
  const nlohmann::json& json_;
  std::string file_;
  mutable std::set<std::string> known_;
};

}  // namespace athanor

// Reading JSON text with places: every error says file:line:column. Internal to runtime/data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "core/error.h"

namespace athanor {

inline constexpr int64_t kMaxJsonDepth = 64;

// Line and column count from 1; a column is a character.
struct TextPlace {
  int64_t line = 1;
  int64_t column = 1;
};
TextPlace advance(TextPlace place, std::string_view text);
std::string place_name(const std::string& file, TextPlace place);

// Parses one JSON value that begins at `start` of `file`; kBadInput at the place of the fault.
nlohmann::json parse_json(std::string_view text, const std::string& file, TextPlace start = {});

// The same for records of data: a key that an object has twice is kBadInput, too.
nlohmann::json parse_record_json(std::string_view text, const std::string& file, TextPlace start);

// What the system says about the call that failed last.
std::string last_reason();

// Larger than any tokenizer.json or dataset_info.json.
inline constexpr int64_t kMaxTextFileBytes = int64_t{128} << 20;

// The whole file; `missing` is the kind of error when it does not exist, kIo when reading fails,
// kBadInput when it is longer than max_bytes.
std::string read_text_file(const std::filesystem::path& file, ErrorKind missing,
                           int64_t max_bytes = kMaxTextFileBytes);

}  // namespace athanor

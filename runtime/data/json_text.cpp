// JSON parsing with places, on top of nlohmann::json.
#include "runtime/data/json_text.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <vector>

#include "runtime/data/utf8.h"

namespace athanor {
namespace {

std::string_view excerpt_around(std::string_view text, int64_t at) {
  constexpr int64_t kBefore = 24;
  constexpr int64_t kLength = 48;
  int64_t begin = std::max<int64_t>(0, at - kBefore);
  const auto continues = [&](int64_t i) {
    return i < static_cast<int64_t>(text.size()) &&
           (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80;
  };
  while (continues(begin)) ++begin;
  int64_t end = std::min<int64_t>(static_cast<int64_t>(text.size()), begin + kLength);
  while (continues(end)) ++end;
  return text.substr(begin, end - begin);
}

[[noreturn]] void fail_at(std::string_view text, const std::string& file, TextPlace start,
                          int64_t offset, const std::string& why) {
  offset = std::clamp<int64_t>(offset, 0, static_cast<int64_t>(text.size()));
  throw Error(ErrorKind::kBadInput, place_name(file, advance(start, text.substr(0, offset))) +
                                        ": invalid JSON, " + why + ", near " +
                                        in_quotes(excerpt_around(text, offset)));
}

// The parser itself does not recurse, but those who walk its result do.
void check_depth(std::string_view text, const std::string& file, TextPlace start) {
  int64_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth) {
        fail_at(text, file, start, static_cast<int64_t>(i),
                "nested deeper than " + std::to_string(kMaxJsonDepth) + " levels");
      }
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

int64_t count_members(const nlohmann::json& value) {
  int64_t count = value.is_object() ? static_cast<int64_t>(value.size()) : 0;
  if (value.is_structured()) {
    for (const nlohmann::json& item : value) count += count_members(item);
  }
  return count;
}

// Colons outside strings, in valid JSON: one for each key as written.
int64_t count_written_keys(std::string_view text) {
  int64_t count = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string && text[i] == ':') {
      ++count;
    }
  }
  return count;
}

// The first key that an object has twice.
std::string repeated_key(std::string_view text) {
  std::vector<std::set<std::string>> open;
  std::string found;
  const auto watch = [&](int, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    if (event == nlohmann::json::parse_event_t::object_start) open.emplace_back();
    if (event == nlohmann::json::parse_event_t::object_end) open.pop_back();
    if (event == nlohmann::json::parse_event_t::key && found.empty() &&
        !open.back().insert(value.get<std::string>()).second) {
      found = value.get<std::string>();
    }
    return true;
  };
  const auto ignored = nlohmann::json::parse(text, watch);
  return found;
}

// nlohmann's "[json.exception.parse_error.101] parse error at line 1, column 8: syntax error …"
std::string reason(const std::string& what) {
  const size_t column = what.find(", column ");
  const size_t colon = what.find(": ", column == std::string::npos ? 0 : column);
  std::string tail = colon == std::string::npos ? what : what.substr(colon + 2);
  const std::string cut = in_quotes(tail, 160);
  return cut.substr(1, cut.size() - 2);
}

}  // namespace

TextPlace advance(TextPlace place, std::string_view text) {
  for (const char c : text) {
    if (c == '\n') {
      ++place.line;
      place.column = 1;
    } else if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) {
      ++place.column;
    }
  }
  return place;
}

std::string place_name(const std::string& file, TextPlace place) {
  return file + ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
}

nlohmann::json parse_json(std::string_view text, const std::string& file, TextPlace start) {
  check_depth(text, file, start);
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    fail_at(text, file, start, static_cast<int64_t>(error.byte) - 1, reason(error.what()));
  } catch (const nlohmann::json::exception& error) {
    fail_at(text, file, start, 0, reason(error.what()));
  }
}

nlohmann::json parse_record_json(std::string_view text, const std::string& file, TextPlace start) {
  nlohmann::json record = parse_json(text, file, start);
  if (count_members(record) != count_written_keys(text)) {
    throw Error(ErrorKind::kBadInput, place_name(file, start) + ": the key " +
                                          in_quotes(repeated_key(text)) +
                                          " stands twice in an object");
  }
  return record;
}

std::string last_reason() {
  return errno != 0 ? std::generic_category().message(errno) : "unknown reason";
}

std::string read_text_file(const std::filesystem::path& file, ErrorKind missing,
                           int64_t max_bytes) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) {
    throw Error(missing, file.string() + ": file not found");
  }
  if (!std::filesystem::is_regular_file(file, ignored)) {
    throw Error(missing, file.string() + ": not a regular file");
  }
  std::ifstream in(file, std::ios::binary);
  const auto size = static_cast<int64_t>(in ? std::filesystem::file_size(file, ignored) : 0);
  if (size > max_bytes) {
    throw Error(ErrorKind::kBadInput, file.string() + ": found " + std::to_string(size) +
                                          " bytes, needed at most " + std::to_string(max_bytes));
  }
  std::string text(static_cast<size_t>(size), '\0');
  in.read(text.data(), size);
  if (!in) throw Error(ErrorKind::kIo, file.string() + ": cannot read: " + last_reason());
  return text;
}

}  // namespace athanor

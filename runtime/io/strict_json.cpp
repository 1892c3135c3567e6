// A SAX filter in front of nlohmann's parser keeps the set of keys of every open object.
#include "runtime/io/strict_json.h"

#include <set>
#include <utility>
#include <vector>

#include "core/error.h"

namespace athanor {
namespace {

constexpr size_t kShownBytes = 120;

// Sees every parse event before the document grows; a problem ends the parse by exception.
class Guard {
 public:
  Guard(const std::string& origin, const JsonLimits& limits) : origin_(origin), limits_(limits) {}

  bool operator()(int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    if (++nodes_ > limits_.max_nodes) {
      fail("found more than " + std::to_string(limits_.max_nodes) + " values");
    }
    switch (event) {
      case Event::object_start:
      case Event::array_start:
        if (depth >= limits_.max_depth) {
          fail("nested deeper than " + std::to_string(limits_.max_depth) + " levels");
        }
        keys_.emplace_back();
        break;
      case Event::object_end:
      case Event::array_end:
        keys_.pop_back();
        break;
      case Event::key: {
        const std::string& key = value.get_ref<const std::string&>();
        if (!keys_.back().insert(key).second) fail("found the key " + in_quotes(key) + " twice");
        break;
      }
      case Event::value:
        break;
    }
    return true;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::kBadInput, origin_ + ": JSON: " + what);
  }

  const std::string& origin_;
  const JsonLimits& limits_;
  int64_t nodes_ = 0;
  std::vector<std::set<std::string>> keys_;
};

}  // namespace

nlohmann::json parse_strict_json(std::string_view text, const std::string& origin,
                                 const JsonLimits& limits) {
  Guard guard(origin, limits);
  const nlohmann::json::parser_callback_t callback =
      [&guard](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
        return guard(depth, event, value);
      };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), callback);
  } catch (const nlohmann::json::exception& error) {
    // Drop the library's "[json.exception.parse_error.101] " and keep the place.
    std::string_view reason = error.what();
    if (const size_t end = reason.find("] "); end != std::string_view::npos) {
      reason.remove_prefix(end + 2);
    }
    std::string message = in_quotes(reason);
    throw Error(ErrorKind::kBadInput,
                origin + ": not valid JSON: " + message.substr(1, message.size() - 2));
  }
}

std::string in_quotes(std::string_view text) {
  const bool cut = text.size() > kShownBytes;
  if (cut) {
    size_t end = kShownBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0u) == 0x80u) --end;
    text = text.substr(0, end);
  }
  std::string result = "\"";
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte < 0x20 || byte == 0x7f) {
      constexpr char kDigits[] = "0123456789abcdef";
      result += "\\x";
      result += kDigits[byte >> 4];
      result += kDigits[byte & 15];
    } else {
      result += character;
    }
  }
  return result + (cut ? "…\"" : "\"");
}

std::string shown(const nlohmann::json& value) {
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  const std::string text =
      in_quotes(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  return text.substr(1, text.size() - 2);
}

}  // namespace athanor

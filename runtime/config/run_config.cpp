// The two visitors of the key table that matter: one reads flat values, one writes YAML.
#include "runtime/config/run_config.h"

#include <algorithm>
#include <sstream>
#include <string>
#include <utility>

#include "core/error.h"
#include "runtime/config/config_keys.h"
#include "runtime/config/config_problems.h"
#include "runtime/config/config_source.h"
#include "runtime/config/config_validate.h"
#include "runtime/config/config_values.h"

namespace athanor {
namespace {

using namespace config_detail;
using Kind = ConfigValue::Kind;

std::string shown_range(IntRange range) {
  return "an integer from " + std::to_string(range.min) + " to " + std::to_string(range.max);
}

std::string shown_range(RealRange range) {
  std::string text =
      "a number " + std::string(range.min_included ? "from " : "above ") + format_real(range.min);
  if (range.max < kHuge)
    text += (range.max_included ? " to " : " to below ") + format_real(range.max);
  return text;
}

bool contains(IntRange range, int64_t value) { return value >= range.min && value <= range.max; }

bool contains(RealRange range, double value) {
  const bool above = range.min_included ? value >= range.min : value > range.min;
  return above && (range.max_included ? value <= range.max : value < range.max);
}

// A key keeps its default when it is absent or wrong; wrong ones become problems.
class Reader {
 public:
  Reader(const ConfigValues& values, Problems& problems) : values_(values), problems_(problems) {}

  void text(const char* key, std::string& out) {
    if (const ConfigValue* value = scalar(key, "a text")) out = value->scalar;
  }

  void boolean(const char* key, bool& out) {
    const ConfigValue* value = scalar(key, "true or false");
    if (value == nullptr) return;
    const std::optional<bool> parsed = parse_bool(value->scalar);
    if (parsed) {
      out = *parsed;
    } else {
      wrong(key, *value, "true or false");
    }
  }

  template <class T>  // int64_t or optional<int64_t>
  void integer(const char* key, T& out, IntRange range) {
    const ConfigValue* value = scalar(key, shown_range(range));
    if (value == nullptr) return;
    const std::optional<int64_t> parsed = parse_int(value->scalar);
    if (parsed && contains(range, *parsed)) {
      out = *parsed;
    } else {
      wrong(key, *value, shown_range(range));
    }
  }

  // `absent` is a word that means that the key is not given.
  void integer_or(const char* key, std::optional<int64_t>& out, IntRange range,
                  const char* absent) {
    const ConfigValue* value = find(key);
    if (value != nullptr && value->kind == Kind::kScalar && trimmed(value->scalar) == absent) {
      out.reset();
    } else {
      integer(key, out, range);
    }
  }

  template <class T>  // double or optional<double>
  void real(const char* key, T& out, RealRange range) {
    const ConfigValue* value = scalar(key, shown_range(range));
    if (value == nullptr) return;
    const std::optional<double> parsed = parse_real(value->scalar);
    if (parsed && contains(range, *parsed)) {
      out = *parsed;
    } else {
      wrong(key, *value, shown_range(range));
    }
  }

  void integers(const char* key, std::vector<std::pair<std::string, int64_t>>& out,
                IntRange range) {
    block(key, out, range, parse_int);
  }

  void reals(const char* key, std::vector<std::pair<std::string, double>>& out, RealRange range) {
    block(key, out, range, parse_real);
  }

  void bytes(const char* key, std::optional<int64_t>& out) {
    constexpr char kNeeded[] = "bytes or a size like 16GiB";
    const ConfigValue* value = scalar(key, kNeeded);
    if (value == nullptr || trimmed(value->scalar) == "auto") return;
    const std::optional<int64_t> parsed = parse_bytes(value->scalar);
    if (parsed && *parsed > 0) {
      out = *parsed;
    } else {
      wrong(key, *value, kNeeded);
    }
  }

  void list(const char* key, std::vector<std::string>& out) {
    const ConfigValue* value = find(key);
    if (value == nullptr) return;
    if (value->kind == Kind::kOther || value->kind == Kind::kMap) {
      wrong(key, *value, "a comma list or a YAML list");
    } else {
      out = value->kind == Kind::kList ? value->items : split_commas(value->scalar);
    }
  }

  // A regular expression may hold commas.
  void list_or_pattern(const char* key, std::vector<std::string>& out) {
    const ConfigValue* value = find(key);
    if (value != nullptr && value->kind == Kind::kScalar && is_pattern(value->scalar)) {
      out = {std::string(trimmed(value->scalar))};
    } else {
      list(key, out);
    }
  }

  template <class E>
  void choice(const char* key, E& out, std::span<const Choice<E>> table) {
    std::string needed = "one of";
    for (const Choice<E>& entry : table) needed += std::string(" ") + entry.name;
    const ConfigValue* value = scalar(key, needed);
    if (value == nullptr) return;
    for (const Choice<E>& entry : table) {
      if (lowered(trimmed(value->scalar)) != entry.name) continue;
      out = entry.value;
      return;
    }
    wrong(key, *value, needed);
  }

 private:
  // Names with a number each.
  template <class T, class Range>
  void block(const char* key, std::vector<std::pair<std::string, T>>& out, Range range,
             std::optional<T> (*parse)(std::string_view)) {
    const std::string needed = "a block {NAME: " + shown_range(range) + "}";
    const ConfigValue* value = find(key);
    if (value == nullptr) return;
    if (value->kind != Kind::kMap) {
      wrong(key, *value, needed);
      return;
    }
    for (const auto& [name, text] : value->entries) {
      const std::optional<T> parsed = parse(text);
      if (!parsed || !contains(range, *parsed)) {
        problems_.add(key, in_quotes(name, 120) + ": " + in_quotes(text, 120), needed);
        continue;
      }
      out.emplace_back(name, *parsed);
    }
  }

  const ConfigValue* find(const char* key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : &found->second;
  }

  const ConfigValue* scalar(const char* key, const std::string& needed) {
    const ConfigValue* value = find(key);
    if (value == nullptr || value->kind == Kind::kScalar) return value;
    wrong(key, *value, needed);
    return nullptr;
  }

  void wrong(const char* key, const ConfigValue& value, const std::string& needed) {
    problems_.add(key, value.shown, needed);
  }

  const ConfigValues& values_;
  Problems& problems_;
};

// Opens a block when the dotted key enters one; absent values are left out.
class Writer {
 public:
  void text(const char* key, const std::string& value) {
    if (!value.empty()) put(key, in_quotes(value));
  }
  void boolean(const char* key, bool value) { put(key, value ? "true" : "false"); }
  void integer(const char* key, const std::optional<int64_t>& value, IntRange) {
    if (value) put(key, std::to_string(*value));
  }
  void integer_or(const char* key, const std::optional<int64_t>& value, IntRange range,
                  const char*) {
    integer(key, value, range);
  }
  void real(const char* key, const std::optional<double>& value, RealRange) {
    if (value) put(key, format_real(*value));
  }
  void integers(const char* key, const std::vector<std::pair<std::string, int64_t>>& value,
                IntRange) {
    block(key, value, [](int64_t number) { return std::to_string(number); });
  }
  void reals(const char* key, const std::vector<std::pair<std::string, double>>& value, RealRange) {
    block(key, value, format_real);
  }
  void bytes(const char* key, const std::optional<int64_t>& value) {
    if (value) put(key, std::to_string(*value));
  }
  void list(const char* key, const std::vector<std::string>& value) {
    if (value.empty()) return;
    std::string text;
    for (const std::string& item : value) text += (text.empty() ? "[" : ", ") + in_quotes(item);
    put(key, text + "]");
  }
  void list_or_pattern(const char* key, const std::vector<std::string>& value) { list(key, value); }
  template <class E>
  void choice(const char* key, E value, std::span<const Choice<E>> table) {
    const auto found = std::ranges::find(table, value, &Choice<E>::value);
    ATHANOR_CHECK(found != table.end(), std::string(key) + ": an enumerator without a name");
    put(key, found->name);
  }

  std::string finish() { return std::move(out_); }

 private:
  template <class T, class Format>
  void block(const char* key, const std::vector<std::pair<std::string, T>>& value, Format format) {
    if (value.empty()) return;
    std::string text;
    for (const auto& [name, number] : value) {
      text += (text.empty() ? "{" : ", ") + in_quotes(name) + ": " + format(number);
    }
    put(key, text + "}");
  }

  void put(std::string_view key, const std::string& value) {
    const size_t dot = key.find('.');
    const std::string block(dot == std::string_view::npos ? "" : key.substr(0, dot));
    if (block != block_ && !block.empty()) out_ += block + ":\n";
    block_ = block;
    if (!block.empty()) out_ += "  ";
    out_ += std::string(block.empty() ? key : key.substr(dot + 1)) + ": " + value + "\n";
  }

  std::string out_;
  std::string block_;
};

}  // namespace

RunConfig load_run_config(const std::filesystem::path& path, std::span<const std::string> overrides,
                          std::span<const std::string_view> required) {
  Problems problems(path);
  const ConfigValues values = read_config_values(path, overrides, problems);
  RunConfig config;
  Reader reader(values, problems);
  describe(reader, config);
  if (!values.contains("lora_alpha")) {
    config.lora_alpha = 2.0 * static_cast<double>(config.lora_rank);
  }
  for (const std::string_view key : required) {
    if (!values.contains(std::string(key))) {
      problems.add(std::string(key), "nothing", "a value");
    }
  }
  check_conflicts(config, problems);
  problems.throw_if_any();
  return config;
}

std::string to_yaml(const RunConfig& config) {
  Writer writer;
  describe(writer, config);
  return writer.finish();
}

// One line a key; lines of a block are indented by two.
FlatSettings flat_settings(const std::string& yaml) {
  FlatSettings settings;
  std::istringstream lines(yaml);
  std::string block;
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    if (colon + 1 == line.size()) {
      block = line.substr(0, colon) + ".";
      continue;
    }
    const bool inside = line.starts_with("  ");
    settings.emplace_back(inside ? block + line.substr(2, colon - 2) : line.substr(0, colon),
                          line.substr(std::min(line.size(), colon + 2)));
  }
  return settings;
}

}  // namespace athanor

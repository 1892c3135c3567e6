// YAML text → flat values. A config is at most three levels deep, so nothing here follows an alias
// further than that, and a bomb of aliases is refused before it is walked.
#include "runtime/config/config_source.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "runtime/config/config_keys.h"
#include "runtime/config/config_values.h"

namespace athanor::config_detail {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 20;
constexpr int kMaxNodes = 10'000;
constexpr int kMaxDepth = 8;
constexpr size_t kShownBytes = 120;

// Counts nodes as an expansion of all aliases would see them; false beyond either limit.
bool within_budget(const YAML::Node& node, int depth, int& nodes) {
  if (++nodes > kMaxNodes || depth > kMaxDepth) return false;
  for (const auto& child : node) {
    if (node.IsMap()) {
      if (!within_budget(child.first, depth + 1, nodes)) return false;
      if (!within_budget(child.second, depth + 1, nodes)) return false;
    } else if (!within_budget(child, depth + 1, nodes)) {
      return false;
    }
  }
  return true;
}

std::string describe_node(const YAML::Node& node) {
  if (node.IsScalar()) return in_quotes(node.Scalar(), kShownBytes);
  if (node.IsSequence()) return "a list";
  if (node.IsMap()) return "a block";
  return "nothing";
}

ConfigValue to_value(const YAML::Node& node) {
  ConfigValue value;
  value.shown = describe_node(node);
  if (node.IsScalar()) {
    value.kind = ConfigValue::Kind::kScalar;
    value.scalar = node.Scalar();
  } else if (node.IsSequence()) {
    value.kind = ConfigValue::Kind::kList;
    for (const YAML::Node& item : node) {
      if (!item.IsScalar()) {
        value.kind = ConfigValue::Kind::kOther;
        value.shown = "a list that holds " + describe_node(item);
        break;
      }
      value.items.push_back(item.Scalar());
    }
  } else if (node.IsMap()) {
    value.kind = ConfigValue::Kind::kMap;
    std::set<std::string> names;
    for (const auto& item : node) {
      if (!item.first.IsScalar() || !item.second.IsScalar() ||
          !names.insert(item.first.Scalar()).second) {
        value.kind = ConfigValue::Kind::kOther;
        value.shown = "a block that holds more than names and values, or a name twice";
        break;
      }
      value.entries.emplace_back(item.first.Scalar(), item.second.Scalar());
    }
  }
  return value;
}

const std::vector<const char*>& known_keys() {
  static const std::vector<const char*> names = [] {
    KeyNames collected;
    RunConfig config;
    describe(collected, config);
    return collected.names;
  }();
  return names;
}

bool is_known(const std::string& key) {
  return std::ranges::find(known_keys(), key) != known_keys().end();
}

bool is_block(const std::string& key) {
  return std::ranges::find(kBlocks, key) != std::end(kBlocks);
}

// The nearest known key; a key of a block also matches without the block's name.
std::string nearest_key(const std::string& key) {
  // No key is as long as that; the distance costs time and memory by the product of the lengths.
  const std::string_view start = std::string_view(key).substr(0, 64);
  std::string best;
  int64_t best_distance = 0;
  const auto consider = [&](std::string_view candidate, const char* answer) {
    const int64_t distance = edit_distance(start, candidate);
    if (best.empty() || distance < best_distance) {
      best = answer;
      best_distance = distance;
    }
  };
  for (const char* name : known_keys()) {
    const std::string_view full = name;
    consider(full, name);
    const size_t dot = full.find('.');
    if (dot != std::string_view::npos) consider(full.substr(dot + 1), name);
  }
  for (const char* block : kBlocks) consider(block, block);
  return best;
}

class Collector {
 public:
  explicit Collector(Problems& problems) : problems_(problems) {}

  // One key with its node; blocks recurse once.
  void take(const std::string& key, const YAML::Node& node, int line) {
    if (is_block(key)) {
      take_block(key, node, line);
      return;
    }
    if (!is_known(key)) {
      problems_.add_at(line, shown_key(key), "an unknown key",
                       "a known one (nearest: " + nearest_key(key) + ")");
      return;
    }
    // From one source a key comes once; the command line may repeat and override.
    if (line != kCommandLine && !seen_.insert(key).second) {
      problems_.add_at(line, key,
                       "the key twice (also in line " + std::to_string(problems_.place(key)) + ")",
                       "it once");
      return;
    }
    problems_.set_place(key, line);
    if (node.IsNull()) {
      values_.erase(key);
    } else {
      values_[key] = to_value(node);
    }
  }

  void take_map(const std::string& prefix, const YAML::Node& map, int line) {
    for (const auto& item : map) {
      const int item_line = line == kCommandLine ? line : item.first.Mark().line + 1;
      if (!item.first.IsScalar()) {
        problems_.add_at(item_line, prefix, describe_node(item.first) + " as a key", "a name");
        continue;
      }
      take(prefix + item.first.Scalar(), item.second, item_line);
    }
  }

  ConfigValues finish() { return std::move(values_); }

 private:
  static std::string shown_key(const std::string& key) {
    const std::string text = in_quotes(key, kShownBytes);
    return text.size() == key.size() + 2 ? key : text;
  }

  void take_block(const std::string& key, const YAML::Node& node, int line) {
    if (line != kCommandLine && !seen_.insert(key).second) {
      problems_.add_at(line, key, "the block twice", "it once");
    } else if (node.IsMap()) {
      take_map(key + ".", node, line);
    } else if (!node.IsNull()) {
      problems_.add_at(line, key, describe_node(node), "a block such as {stage: 3}");
    }
  }

  Problems& problems_;
  std::set<std::string> seen_;
  ConfigValues values_;
};

// yaml-cpp takes NUL and 0x04 for the end of the file and would drop what follows.
bool is_plain_text(std::string_view text, Problems& problems) {
  int line = 1;
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (character == '\n') ++line;
    if (byte >= 0x20 && byte != 0x7f) continue;
    if (character == '\t' || character == '\n' || character == '\r') continue;
    problems.add_at(line, "", "the control character " + in_quotes({&character, 1}), "text");
    return false;
  }
  return true;
}

// nullopt after adding a problem.
std::optional<std::string> read_text(const std::filesystem::path& path, Problems& problems) {
  // Looked at before it is opened: a FIFO would wait for its writer.
  std::error_code failed;
  std::ifstream stream;
  errno = 0;
  if (std::filesystem::is_regular_file(path, failed)) stream.open(path, std::ios::binary);
  if (!stream.is_open()) {
    if (!failed) failed.assign(errno, std::generic_category());
    const std::string reason = failed ? failed.message() : "not a regular file";
    problems.add_at(kNoLine, "", "no readable file (" + reason + ")", "a YAML file");
    return std::nullopt;
  }
  std::string text(static_cast<size_t>(kMaxFileBytes) + 1, '\0');
  stream.read(text.data(), std::ssize(text));
  text.resize(static_cast<size_t>(stream.gcount()));
  if (std::ssize(text) > kMaxFileBytes) {
    problems.add_at(kNoLine, "", "more than 1 MiB", "a config of at most 1 MiB");
    return std::nullopt;
  }
  return is_plain_text(text, problems) ? std::optional(text) : std::nullopt;
}

// Hears of a document and remembers nothing.
class NoNodes final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// YAML::LoadAll makes documents without end of a text that begins with a comma.
bool has_several_documents(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  NoNodes handler;
  return parser.HandleNextDocument(handler) && parser.HandleNextDocument(handler);
}

// An undefined node after adding a problem.
YAML::Node parse_yaml(const std::string& text, int line, const std::string& key,
                      Problems& problems) {
  try {
    // yaml-cpp takes the end of a line for the end of an open quote when nothing follows. A comment
    // does, and ends nothing.
    const std::string closed = text + "\n#";
    if (has_several_documents(closed)) {
      problems.add_at(line, key, "more than one YAML document", "one");
      return YAML::Node(YAML::NodeType::Undefined);
    }
    const YAML::Node document = YAML::Load(closed);
    int nodes = 0;
    if (within_budget(document, 0, nodes)) return document;
    problems.add_at(line, key,
                    "more than " + std::to_string(kMaxNodes) + " values or " +
                        std::to_string(kMaxDepth) + " levels (aliases expanded)",
                    "a plain config");
  } catch (const YAML::Exception& error) {
    const int at = line == kCommandLine || error.mark.is_null() ? line : error.mark.line + 1;
    problems.add_at(at, key, "invalid YAML (" + error.msg + ")", "valid YAML");
  }
  return YAML::Node(YAML::NodeType::Undefined);
}

void take_override(const std::string& text, Collector& collector, Problems& problems) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    problems.add_at(kCommandLine, "", in_quotes(text, kShownBytes), "key=value");
    return;
  }
  const std::string key(trimmed(std::string_view(text).substr(0, equals)));
  const std::string value(trimmed(std::string_view(text).substr(equals + 1)));
  YAML::Node node;
  if (value.starts_with('[') || value.starts_with('{')) {
    node = parse_yaml(value, kCommandLine, key, problems);
    if (!node.IsDefined()) return;
  } else if (!value.empty() && value != "null" && value != "~") {
    node = value;
  }
  collector.take(key, node, kCommandLine);
}

}  // namespace

ConfigValues read_config_values(const std::filesystem::path& path,
                                std::span<const std::string> overrides, Problems& problems) {
  Collector collector(problems);
  const std::optional<std::string> text = read_text(path, problems);
  if (text) {
    const YAML::Node root = parse_yaml(*text, kNoLine, "", problems);
    if (root.IsMap()) {
      collector.take_map("", root, kNoLine);
    } else if (root.IsDefined() && !root.IsNull()) {
      problems.add_at(kNoLine, "", describe_node(root), "lines of key: value");
    }
  }
  for (const std::string& override_text : overrides) {
    take_override(override_text, collector, problems);
  }
  // Keys that such a file may have are not missing.
  if (!text) problems.throw_if_any();
  return collector.finish();
}

}  // namespace athanor::config_detail

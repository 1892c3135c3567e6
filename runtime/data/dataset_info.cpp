// LLaMA-Factory's dataset_info.json.
#include "runtime/data/dataset_info.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>

#include "runtime/data/json_field.h"
#include "runtime/data/json_text.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

constexpr const char* kEndings[] = {".json", ".jsonl", ".json.zst", ".jsonl.zst"};

bool is_path(const std::string& entry) {
  if (entry.find('/') != std::string::npos) return true;
  return std::any_of(std::begin(kEndings), std::end(kEndings),
                     [&](const char* ending) { return entry.ends_with(ending); });
}

std::string names_of(const JsonField& info) {
  constexpr size_t kListed = 12;
  std::string list;
  const std::vector<std::string> keys = info.keys();
  for (size_t i = 0; i < std::min(keys.size(), kListed); ++i) {
    list += (i > 0 ? ", " : "") + keys[i];
  }
  return keys.size() > kListed ? list + ", …" : list;
}

using Member = std::string RecordColumns::*;
struct Name {
  const char* key;
  Member member;
};

constexpr Name kColumns[] = {
    {"prompt", &RecordColumns::prompt},     {"query", &RecordColumns::query},
    {"response", &RecordColumns::response}, {"history", &RecordColumns::history},
    {"system", &RecordColumns::system},     {"tools", &RecordColumns::tools},
    {"messages", &RecordColumns::messages},
};
constexpr Name kTags[] = {
    {"role_tag", &RecordColumns::role_tag},
    {"content_tag", &RecordColumns::content_tag},
    {"user_tag", &RecordColumns::user_tag},
    {"assistant_tag", &RecordColumns::assistant_tag},
    {"observation_tag", &RecordColumns::observation_tag},
    {"function_tag", &RecordColumns::function_tag},
    {"system_tag", &RecordColumns::system_tag},
};

// Puts the strings of `mapping` into the members they name; null empties one.
void read_names(const JsonField& mapping, std::span<const Name> names, RecordColumns& columns) {
  for (const std::string& key : mapping.keys()) {
    const auto name = std::find_if(names.begin(), names.end(),
                                   [&](const Name& known) { return key == known.key; });
    const std::optional<JsonField> value = mapping.find(key);
    if (name != names.end()) {
      columns.*(name->member) = value ? value->string() : "";
    } else if (value) {
      std::string known;
      for (const Name& one : names) known += (known.empty() ? "" : ", ") + std::string(one.key);
      value->fail("is not supported yet (known: " + known + ")");
    }
  }
}

RecordColumns columns_of(const JsonField& entry) {
  RecordColumns columns;
  const std::string formatting = entry.string_or("formatting", "alpaca");
  columns.chat = formatting != "alpaca";
  if (formatting == "openai") {
    columns.messages = "messages";
    columns.tools = "tools";
    columns.role_tag = "role";
    columns.content_tag = "content";
    columns.user_tag = "user";
    columns.assistant_tag = "assistant";
    columns.observation_tag = "tool";
  }
  const std::optional<JsonField> mapping = entry.find("columns");
  if (mapping) read_names(*mapping, kColumns, columns);
  if (const auto tags = entry.find("tags")) read_names(*tags, kTags, columns);
  // {"prompt": "text"} alone is a column of texts: pre-training.
  if (mapping && !mapping->find("response") && mapping->find("prompt") &&
      columns.prompt != "instruction") {
    columns.response.clear();
  }
  return columns;
}

// Keys that would change which records are used, so that leaving them out would be wrong.
void refuse_unsupported(const JsonField& entry) {
  static const std::vector<std::string> kKnown = {"file_name",  "formatting", "columns",
                                                  "ranking",    "split",      "hf_hub_url",
                                                  "ms_hub_url", "om_hub_url", "tags"};
  for (const std::string& key : entry.keys()) {
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end() && entry.find(key)) {
      entry.at(key).fail("this key is not supported yet");
    }
  }
  if (entry.boolean_or("ranking", false)) {
    entry.at("ranking").fail("preference data are not supported yet");
  }
  if (entry.string_or("split", "train") != "train") {
    entry.at("split").fail("only the split train is supported for files");
  }
  const std::string formatting = entry.string_or("formatting", "alpaca");
  if (formatting != "alpaca" && formatting != "sharegpt" && formatting != "openai") {
    entry.at("formatting")
        .fail(in_quotes(formatting) + " is not supported yet (known: alpaca, sharegpt, openai)");
  }
  if (!entry.find("file_name")) {
    entry.fail("field \"file_name\" is missing; data sets are not downloaded, get the file first");
  }
}

}  // namespace

DatasetSource resolve_dataset(const std::string& entry, const std::filesystem::path& dataset_dir) {
  if (is_path(entry)) return {entry, std::nullopt};
  const std::filesystem::path info_file = dataset_dir / "dataset_info.json";
  std::error_code ignored;
  if (!std::filesystem::exists(info_file, ignored)) {
    throw Error(ErrorKind::kConfig, "dataset: " + in_quotes(entry) +
                                        " is not a path, and there is no " + info_file.string() +
                                        " to look it up in; give a path to a .json or .jsonl file");
  }
  const nlohmann::json info =
      parse_json(read_text_file(info_file, ErrorKind::kConfig), info_file.string());
  const JsonField root(info, info_file.string());
  const std::optional<JsonField> found = root.find(entry);
  if (!found) {
    throw Error(ErrorKind::kConfig, "dataset: " + in_quotes(entry) + " is not in " +
                                        info_file.string() + " (known: " + names_of(root) + ")");
  }
  refuse_unsupported(*found);
  DatasetSource source{dataset_dir / found->at("file_name").string(), std::nullopt};
  if (found->find("columns") || found->find("formatting") || found->find("tags")) {
    source.columns = columns_of(*found);
  }
  return source;
}

}  // namespace athanor

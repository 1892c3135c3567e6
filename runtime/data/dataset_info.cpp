// LLaMA-Factory's dataset_info.json.
#include "runtime/data/dataset_info.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "runtime/data/json_field.h"
#include "runtime/data/json_text.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

bool is_path(const std::string& entry) {
  return entry.find('/') != std::string::npos || entry.ends_with(".json") ||
         entry.ends_with(".jsonl");
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

AlpacaColumns columns_of(const JsonField& entry) {
  AlpacaColumns columns;
  const std::optional<JsonField> mapping = entry.find("columns");
  if (!mapping) return columns;
  for (const std::string& key : mapping->keys()) {
    const std::optional<JsonField> column = mapping->find(key);
    const std::string name = column ? column->string() : "";
    if (key == "prompt") {
      columns.prompt = name;
    } else if (key == "query") {
      columns.query = name;
    } else if (key == "response") {
      columns.response = name;
    } else if (key == "system") {
      columns.system = name;
    } else if (key == "history") {
      columns.history = name;
    } else if (column) {
      column->fail(
          "this column is not supported yet (known: prompt, query, response, system, "
          "history)");
    }
  }
  // {"prompt": "text"} alone is a column of texts: pre-training.
  if (!mapping->find("response") && mapping->find("prompt") && columns.prompt != "instruction") {
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
  if (formatting != "alpaca") {
    entry.at("formatting").fail(in_quotes(formatting) + " is not supported yet (known: alpaca)");
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
  if (found->find("columns") || found->find("formatting")) source.columns = columns_of(*found);
  return source;
}

}  // namespace athanor

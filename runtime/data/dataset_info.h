// What an entry of `dataset` means: a file, and how its records are written. Internal to
// runtime/data.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace athanor {

// Keys of a record, of its messages, and the names of roles; an empty one is not read.
struct RecordColumns {
  bool chat = false;  // sharegpt or openai: a list of messages; else alpaca

  std::string prompt = "instruction";
  std::string query = "input";
  std::string response = "output";
  std::string history;

  std::string system;
  std::string tools;
  std::string messages = "conversations";

  std::string role_tag = "from";
  std::string content_tag = "value";
  std::string user_tag = "human";
  std::string assistant_tag = "gpt";
  std::string observation_tag = "observation";
  std::string function_tag = "function_call";
  std::string system_tag = "system";
};

struct DatasetSource {
  std::filesystem::path file;
  // From dataset_info.json; without it the format is seen from the records.
  std::optional<RecordColumns> columns;
};

// `entry` is a path (it has a '/' or ends in .json, .jsonl, .json.zst or .jsonl.zst) or a name in
// dataset_dir/dataset_info.json, as LLaMA-Factory writes it.
DatasetSource resolve_dataset(const std::string& entry, const std::filesystem::path& dataset_dir);

}  // namespace athanor

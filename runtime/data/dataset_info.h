// What an entry of `dataset` means: a file, and how its records are written. Internal to
// runtime/data.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace athanor {

// Keys of an alpaca record; an empty one is not read.
struct AlpacaColumns {
  std::string prompt = "instruction";
  std::string query = "input";
  std::string response = "output";
  std::string system;
  std::string history;
};

struct DatasetSource {
  std::filesystem::path file;
  // From dataset_info.json; without it the format is seen from the records.
  std::optional<AlpacaColumns> columns;
};

// `entry` is a path (it has a '/' or ends in .json or .jsonl) or a name in
// dataset_dir/dataset_info.json, as LLaMA-Factory writes it.
DatasetSource resolve_dataset(const std::string& entry, const std::filesystem::path& dataset_dir);

}  // namespace athanor

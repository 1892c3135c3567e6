// One record of a dataset file in any of the known formats. Internal to runtime/data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/data/chat.h"
#include "runtime/data/dataset_info.h"
#include "runtime/data/json_field.h"

namespace athanor {

enum class RecordFormat { kAlpaca, kShareGpt, kMessages, kCompletion, kText, kTokens };
const char* record_format_name(RecordFormat format);

struct TextRecord {
  std::string text;
};
struct CompletionRecord {
  std::string prompt;
  std::string completion;
};
struct TokenRecord {
  std::vector<int32_t> input_ids;
  std::vector<int32_t> labels;
};
using Record = std::variant<Conversation, TextRecord, CompletionRecord, TokenRecord>;

// How the records of one file are read: seen from its first record (and the columns that
// dataset_info.json gives), then demanded of all.
class RecordParser {
 public:
  RecordParser(const JsonField& first_record, const std::optional<RecordColumns>& columns);

  RecordFormat format() const { return format_; }
  // `json` is the text of the record, in which objects have their order of keys; vocab_size bounds
  // the ids of pre-tokenised records.
  Record parse(const JsonField& record, std::string_view json, int64_t vocab_size) const;

 private:
  void detect(const JsonField& first_record);

  RecordFormat format_ = RecordFormat::kText;
  RecordColumns columns_;
  bool declared_ = false;  // the columns come from dataset_info.json
  std::string text_column_ = "text";
};

}  // namespace athanor

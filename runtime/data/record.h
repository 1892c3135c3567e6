// One record of a dataset file in any of the known formats. Internal to runtime/data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "runtime/data/chat.h"
#include "runtime/data/dataset_info.h"
#include "runtime/data/json_field.h"

namespace athanor {

enum class RecordFormat { kAlpaca, kMessages, kText, kTokens };
const char* record_format_name(RecordFormat format);

struct ChatRecord {
  std::vector<ChatMessage> messages;
};
struct TextRecord {
  std::string text;
};
struct TokenRecord {
  std::vector<int32_t> input_ids;
  std::vector<int32_t> labels;
};
using Record = std::variant<ChatRecord, TextRecord, TokenRecord>;

// How the records of one file are read: seen from its first record (and the columns that
// dataset_info.json gives), then demanded of all.
class RecordParser {
 public:
  RecordParser(const JsonField& first_record, const std::optional<AlpacaColumns>& columns);

  RecordFormat format() const { return format_; }
  // vocab_size bounds the ids of pre-tokenised records.
  Record parse(const JsonField& record, int64_t vocab_size) const;

 private:
  ChatRecord parse_alpaca(const JsonField& record) const;

  RecordFormat format_ = RecordFormat::kText;
  AlpacaColumns columns_;
  std::string text_column_ = "text";
};

}  // namespace athanor

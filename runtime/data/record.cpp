// Record formats: which one a file has, and those that are not conversations.
#include "runtime/data/record.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/data/chat_record.h"
#include "runtime/data/dataset.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

constexpr const char* kKnownFormats =
    "known: {instruction, input, output}, {conversations}, {messages}, {prompt, completion}, "
    "{text}, {input_ids, labels}";

[[noreturn]] void unknown_format(const JsonField& record) {
  std::string keys;
  for (const std::string& key : record.keys()) {
    keys += (keys.empty() ? "" : ", ") + in_quotes(key);
    if (keys.size() > 200) break;
  }
  record.fail("cannot tell the format of a record with the keys " +
              (keys.empty() ? "(none)" : keys) + " (" + kKnownFormats +
              "; other names: a columns mapping in dataset_info.json)");
}

std::vector<int32_t> parse_ids(const JsonField& list, int64_t vocab_size, bool labels) {
  list.require_array();
  const auto& values = list.value();
  std::vector<int32_t> ids;
  ids.reserve(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const auto& value = values[i];
    const bool integer = value.is_number_integer();
    const bool in_vocabulary = value.is_number_unsigned() && vocab_size > 0 &&
                               value.get<uint64_t>() < static_cast<uint64_t>(vocab_size);
    const bool ignored =
        labels && integer && !value.is_number_unsigned() && value.get<int64_t>() == kNoLoss;
    if (!in_vocabulary && !ignored) {
      JsonField(value, list.place(), list.path() + "[" + std::to_string(i) + "]")
          .fail("expected " + std::string(labels ? "-100 or " : "") + "a token id in [0, " +
                std::to_string(vocab_size) + "), found " + in_quotes(value.dump()));
    }
    ids.push_back(value.get<int32_t>());
  }
  return ids;
}

void refuse_padding(const JsonField& mask) {
  for (const JsonField& item : mask.items()) {
    if (item.integer() != 1) item.fail("padding is not supported, leave masked tokens out");
  }
}

TokenRecord parse_tokens(const JsonField& record, int64_t vocab_size) {
  TokenRecord tokens;
  const JsonField input = record.at("input_ids");
  tokens.input_ids = parse_ids(input, vocab_size, false);
  const std::optional<JsonField> labels = record.find("labels");
  tokens.labels = labels ? parse_ids(*labels, vocab_size, true) : tokens.input_ids;
  if (tokens.labels.size() != tokens.input_ids.size()) {
    labels->fail("has " + std::to_string(tokens.labels.size()) + " entries, input_ids has " +
                 std::to_string(tokens.input_ids.size()));
  }
  if (const auto mask = record.find("attention_mask")) refuse_padding(*mask);
  return tokens;
}

}  // namespace

const char* record_format_name(RecordFormat format) {
  switch (format) {
    case RecordFormat::kAlpaca:
      return "alpaca";
    case RecordFormat::kShareGpt:
      return "sharegpt";
    case RecordFormat::kMessages:
      return "messages";
    case RecordFormat::kCompletion:
      return "prompt-completion";
    case RecordFormat::kText:
      return "text";
    case RecordFormat::kTokens:
      return "pre-tokenised";
  }
  return "";
}

RecordParser::RecordParser(const JsonField& first, const std::optional<RecordColumns>& columns) {
  first.require_object();
  if (!columns) {
    detect(first);
    return;
  }
  columns_ = *columns;
  declared_ = true;
  if (columns_.chat) {
    const bool openai = columns_.role_tag == "role" && columns_.content_tag == "content" &&
                        columns_.user_tag == "user" && columns_.assistant_tag == "assistant";
    format_ = openai ? RecordFormat::kMessages : RecordFormat::kShareGpt;
  } else {
    format_ = columns_.response.empty() ? RecordFormat::kText : RecordFormat::kAlpaca;
    text_column_ = columns_.prompt;
  }
}

void RecordParser::detect(const JsonField& first) {
  columns_.system = "system";
  columns_.history = "history";
  columns_.tools = "tools";
  if (first.find("input_ids")) {
    format_ = RecordFormat::kTokens;
  } else if (first.find("messages")) {
    format_ = RecordFormat::kMessages;
    columns_.messages = "messages";
  } else if (const auto list = first.find("conversations")) {
    const std::vector<JsonField> items = list->items();
    const bool openai = !items.empty() && items.front().find("role");
    format_ = openai ? RecordFormat::kMessages : RecordFormat::kShareGpt;
  } else if (first.find("instruction") && first.find("output")) {
    format_ = RecordFormat::kAlpaca;
  } else if (first.find("prompt") && first.find("completion")) {
    format_ = RecordFormat::kCompletion;
  } else if (first.find("text")) {
    format_ = RecordFormat::kText;
  } else {
    unknown_format(first);
  }
}

Record RecordParser::parse(const JsonField& record, std::string_view json,
                           int64_t vocab_size) const {
  record.require_object();
  switch (format_) {
    case RecordFormat::kAlpaca:
      return parse_alpaca(record, columns_);
    case RecordFormat::kShareGpt:
      return parse_sharegpt(record, columns_, declared_);
    case RecordFormat::kMessages:
      return parse_messages(record, json, columns_);
    case RecordFormat::kCompletion:
      if (record.at("prompt").value().is_array()) return parse_message_completion(record, json);
      return CompletionRecord{record.at("prompt").string(), record.at("completion").string()};
    case RecordFormat::kTokens:
      return parse_tokens(record, vocab_size);
    case RecordFormat::kText:
      break;
  }
  return TextRecord{record.at(text_column_).string()};
}

}  // namespace athanor

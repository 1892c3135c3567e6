// Record formats: alpaca, messages, text, pre-tokenised.
#include "runtime/data/record.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/data/dataset.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

constexpr const char* kKnownFormats =
    "known: {instruction, input, output}, {messages}, {text}, {input_ids, labels}";

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

ChatRecord parse_messages(const JsonField& record) {
  static constexpr std::string_view kRoles[] = {"system", "user", "assistant", "tool"};
  const JsonField list = record.at("messages");
  ChatRecord chat;
  for (const JsonField& item : list.items()) {
    const JsonField role = item.at("role");
    if (std::find(std::begin(kRoles), std::end(kRoles), role.string()) == std::end(kRoles)) {
      role.fail("unknown role " + in_quotes(role.string()) +
                " (known: system, user, assistant, tool)");
    }
    chat.messages.push_back({role.string(), item.at("content").string()});
  }
  if (chat.messages.empty()) list.fail("the conversation is empty");
  return chat;
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
    case RecordFormat::kMessages:
      return "messages";
    case RecordFormat::kText:
      return "text";
    case RecordFormat::kTokens:
      return "pre-tokenised";
  }
  return "";
}

RecordParser::RecordParser(const JsonField& first, const std::optional<AlpacaColumns>& columns) {
  first.require_object();
  if (columns) {
    columns_ = *columns;
    const bool is_text = columns_.response.empty();
    format_ = is_text ? RecordFormat::kText : RecordFormat::kAlpaca;
    text_column_ = columns_.prompt;
  } else if (first.find("input_ids")) {
    format_ = RecordFormat::kTokens;
  } else if (first.find("messages")) {
    format_ = RecordFormat::kMessages;
  } else if (first.find("instruction") && first.find("output")) {
    format_ = RecordFormat::kAlpaca;
    columns_.system = "system";
    columns_.history = "history";
  } else if (first.find("text")) {
    format_ = RecordFormat::kText;
  } else if (first.find("conversations")) {
    first.fail("the sharegpt format (\"conversations\") is not supported yet (" +
               std::string(kKnownFormats) + ")");
  } else {
    unknown_format(first);
  }
}

Record RecordParser::parse(const JsonField& record, int64_t vocab_size) const {
  record.require_object();
  switch (format_) {
    case RecordFormat::kAlpaca:
      return parse_alpaca(record);
    case RecordFormat::kMessages:
      return parse_messages(record);
    case RecordFormat::kTokens:
      return parse_tokens(record, vocab_size);
    case RecordFormat::kText:
      break;
  }
  return TextRecord{record.at(text_column_).string()};
}

ChatRecord RecordParser::parse_alpaca(const JsonField& record) const {
  const auto optional_text = [&](const std::string& column) {
    return column.empty() ? "" : record.string_or(column, "");
  };
  ChatRecord chat;
  if (std::string system = optional_text(columns_.system); !system.empty()) {
    chat.messages.push_back({"system", std::move(system)});
  }
  if (!columns_.history.empty()) {
    if (const auto history = record.find(columns_.history)) {
      for (const JsonField& turn : history->items()) {
        const std::vector<JsonField> pair = turn.items();
        if (pair.size() != 2) turn.fail("expected [user, assistant]");
        chat.messages.push_back({"user", pair[0].string()});
        chat.messages.push_back({"assistant", pair[1].string()});
      }
    }
  }
  std::string user = record.at(columns_.prompt).string();
  if (const std::string query = optional_text(columns_.query); !query.empty()) {
    user += (user.empty() ? "" : "\n") + query;
  }
  chat.messages.push_back({"user", std::move(user)});
  chat.messages.push_back({"assistant", record.at(columns_.response).string()});
  return chat;
}

}  // namespace athanor

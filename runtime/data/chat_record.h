// Records that are conversations: alpaca, sharegpt and messages. Internal to runtime/data.
#pragma once

#include <string>
#include <string_view>

#include "runtime/data/chat.h"
#include "runtime/data/dataset_info.h"
#include "runtime/data/json_field.h"

namespace athanor {

Conversation parse_alpaca(const JsonField& record, const RecordColumns& columns);

// {from, value} lists, with LLaMA-Factory's tags. Several common names of user and assistant are
// known when the columns do not come from dataset_info.json.
Conversation parse_sharegpt(const JsonField& record, const RecordColumns& columns,
                            bool declared_tags);

// OpenAI's messages, as transformers takes them. `json` is the record's text, in which objects have
// their order of keys.
Conversation parse_messages(const JsonField& record, std::string_view json,
                            const RecordColumns& columns);

// {prompt: [messages], completion: [messages]}: the answers of the completion are trained.
Conversation parse_message_completion(const JsonField& record, std::string_view json);

}  // namespace athanor

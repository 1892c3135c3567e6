// Conversations from JSON records.
#include "runtime/data/chat_record.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "core/error.h"
#include "runtime/data/jinja/template.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

constexpr const char* kUserNames[] = {"human", "user"};
constexpr const char* kAssistantNames[] = {"gpt", "assistant", "model", "chatgpt", "bot"};
constexpr const char* kToolNames[] = {"observation", "tool", "function_response"};
constexpr std::string_view kRoles[] = {"system",    "developer", "user",
                                       "assistant", "tool",      "ipython"};

bool is_one_of(std::string_view name, std::span<const char* const> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const jinja::Value& member(const jinja::Value& dict, std::string_view key) {
  const jinja::Value* value = dict.dict().find(key);
  ATHANOR_CHECK(value != nullptr, "the second parse has the member " + std::string(key));
  return *value;
}

// A list of tools, or a text of JSON that is one; entries without a frame get
// {"type": "function", "function": …}, which templates expect.
jinja::Value framed_tools(const jinja::Value& tools, const JsonField& field) {
  if (tools.is_none() || (tools.is_string() && tools.string().empty())) return jinja::Value::none();
  const jinja::Value list =
      tools.is_string()
          ? jinja::value_from_json(tools.string(), field.place() + ": " + field.path())
          : tools;
  if (!list.is_sequence()) field.fail("expected a list of tools, or a string that is one");
  if (list.items().empty()) return jinja::Value::none();
  jinja::List framed;
  for (const jinja::Value& tool : list.items()) {
    if (!tool.is(jinja::Kind::kDict)) field.fail("a tool is not an object");
    if (tool.dict().find("function") != nullptr || tool.dict().find("name") == nullptr) {
      framed.push_back(tool);
      continue;
    }
    jinja::Dict frame;
    frame.set("type", jinja::Value(std::string("function")));
    frame.set("function", tool);
    framed.push_back(jinja::Value(std::move(frame)));
  }
  return jinja::Value::list(std::move(framed));
}

// A text {"name": …, "arguments": …}, or a list of such, to an assistant's message with tool_calls.
ChatMessage calling_message(const JsonField& field) {
  const jinja::Value parsed =
      jinja::value_from_json(field.string(), field.place() + ": " + field.path());
  const jinja::List calls = parsed.is_sequence() ? parsed.items() : jinja::List{parsed};
  jinja::List framed;
  for (const jinja::Value& call : calls) {
    if (!call.is(jinja::Kind::kDict) || call.dict().find("name") == nullptr ||
        call.dict().find("arguments") == nullptr) {
      field.fail("expected {\"name\": …, \"arguments\": …} or a list of such");
    }
    jinja::Dict frame;
    frame.set("type", jinja::Value(std::string("function")));
    frame.set("function", call);
    framed.push_back(jinja::Value(std::move(frame)));
  }
  ChatMessage message = text_message("assistant", "");
  jinja::Dict fields = message.fields.dict();
  fields.set("tool_calls", jinja::Value::list(std::move(framed)));
  message.fields = jinja::Value(std::move(fields));
  return message;
}

// A text, or a list of parts of text, which is joined. A missing content is an empty one.
std::string content_of(const JsonField& message) {
  const std::optional<JsonField> content = message.find("content");
  if (!content) {
    if (!message.find("tool_calls")) message.fail("field \"content\" is missing");
    return "";
  }
  if (content->value().is_string()) return content->string();
  if (!content->value().is_array()) content->fail("expected a string or a list of parts of text");
  std::string text;
  for (const JsonField& part : content->items()) {
    if (part.string_or("type", "text") != "text") {
      part.at("type").fail("only parts of type \"text\" are supported");
    }
    text += (part.find("text") ? part.at("text") : part.at("value")).string();
  }
  return text;
}

// OpenAI's `weight` and LLaMA-Factory's `loss_weight` of a message: 0 or 1.
bool is_learned(const JsonField& message) {
  for (const char* key : {"weight", "loss_weight"}) {
    const std::optional<JsonField> weight = message.find(key);
    if (!weight) continue;
    const double value = weight->value().is_number() ? weight->value().get<double>() : -1;
    if (value != 0 && value != 1) weight->fail("expected 0 or 1");
    if (value == 0) return false;
  }
  return true;
}

ChatMessage message_of(const JsonField& item, const jinja::Value& ordered) {
  const JsonField role = item.at("role");
  if (std::find(std::begin(kRoles), std::end(kRoles), role.string()) == std::end(kRoles)) {
    role.fail("unknown role " + in_quotes(role.string()) +
              " (known: system, developer, user, assistant, tool, ipython)");
  }
  jinja::Dict fields = ordered.dict();
  fields.set("content", jinja::Value(content_of(item)));
  return {role.string(), jinja::Value(std::move(fields)), is_learned(item)};
}

void add_messages(const JsonField& list, const jinja::Value& ordered, Conversation& conversation) {
  const std::vector<JsonField> items = list.items();
  for (size_t i = 0; i < items.size(); ++i) {
    items[i].require_object();
    conversation.messages.push_back(message_of(items[i], ordered.items()[i]));
  }
}

void add_tools(const JsonField& record, const std::string& key, const jinja::Value& ordered,
               Conversation& conversation) {
  if (key.empty()) return;
  if (const auto tools = record.find(key)) {
    conversation.tools = framed_tools(member(ordered, key), *tools);
  }
}

// Of records whose members are texts: a list of tools is a text, too.
void add_tools(const JsonField& record, const RecordColumns& columns, Conversation& conversation) {
  if (columns.tools.empty()) return;
  if (const auto tools = record.find(columns.tools)) {
    conversation.tools = framed_tools(jinja::Value(tools->string()), *tools);
  }
}

// The system message of a column, unless the conversation begins with one.
void add_system(const JsonField& record, const RecordColumns& columns, Conversation& conversation) {
  std::vector<ChatMessage>& messages = conversation.messages;
  if (columns.system.empty() || (!messages.empty() && messages.front().role == "system")) return;
  const std::string text = record.string_or(columns.system, "");
  if (!text.empty()) messages.insert(messages.begin(), text_message("system", text));
}

}  // namespace

Conversation parse_alpaca(const JsonField& record, const RecordColumns& columns) {
  Conversation chat;
  add_system(record, columns, chat);
  if (!columns.history.empty()) {
    if (const auto history = record.find(columns.history)) {
      for (const JsonField& turn : history->items()) {
        const std::vector<JsonField> pair = turn.items();
        if (pair.size() != 2) turn.fail("expected [user, assistant]");
        chat.messages.push_back(text_message("user", pair[0].string()));
        chat.messages.push_back(text_message("assistant", pair[1].string()));
      }
    }
  }
  std::string user = record.at(columns.prompt).string();
  const std::string query = columns.query.empty() ? "" : record.string_or(columns.query, "");
  if (!query.empty()) user += (user.empty() ? "" : "\n") + query;
  chat.messages.push_back(text_message("user", user));
  chat.messages.push_back(text_message("assistant", record.at(columns.response).string()));
  add_tools(record, columns, chat);
  return chat;
}

Conversation parse_sharegpt(const JsonField& record, const RecordColumns& columns,
                            bool declared_tags) {
  const JsonField list = record.at(columns.messages);
  Conversation chat;
  for (const JsonField& item : list.items()) {
    const JsonField role = item.at(columns.role_tag);
    const std::string& tag = role.string();
    const auto is = [&](const std::string& declared, std::span<const char* const> common) {
      return declared_tags ? tag == declared : is_one_of(tag, common);
    };
    const JsonField content = item.at(columns.content_tag);
    if (tag == columns.system_tag) {
      chat.messages.push_back(text_message("system", content.string()));
    } else if (tag == columns.function_tag) {
      chat.messages.push_back(calling_message(content));
    } else if (is(columns.user_tag, kUserNames)) {
      chat.messages.push_back(text_message("user", content.string()));
    } else if (is(columns.assistant_tag, kAssistantNames)) {
      chat.messages.push_back(text_message("assistant", content.string()));
    } else if (is(columns.observation_tag, kToolNames)) {
      chat.messages.push_back(text_message("tool", content.string()));
    } else {
      role.fail("unknown role " + in_quotes(tag) + " (known: " + columns.user_tag + ", " +
                columns.assistant_tag + ", " + columns.system_tag + ", " + columns.function_tag +
                ", " + columns.observation_tag + "; other names: tags in dataset_info.json)");
    }
    chat.messages.back().learn = is_learned(item);
  }
  if (chat.messages.empty()) list.fail("the conversation is empty");
  add_system(record, columns, chat);
  add_tools(record, columns, chat);
  return chat;
}

Conversation parse_messages(const JsonField& record, std::string_view json,
                            const RecordColumns& columns) {
  const jinja::Value ordered = jinja::value_from_json(json, record.place());
  const JsonField list = record.at(columns.messages);
  list.require_array();
  Conversation chat;
  add_messages(list, member(ordered, columns.messages), chat);
  if (chat.messages.empty()) list.fail("the conversation is empty");
  add_system(record, columns, chat);
  add_tools(record, columns.tools, ordered, chat);
  return chat;
}

Conversation parse_message_completion(const JsonField& record, std::string_view json) {
  const jinja::Value ordered = jinja::value_from_json(json, record.place());
  Conversation chat;
  add_messages(record.at("prompt"), member(ordered, "prompt"), chat);
  for (ChatMessage& message : chat.messages) message.learn = false;
  add_messages(record.at("completion"), member(ordered, "completion"), chat);
  if (chat.messages.empty()) record.fail("the conversation is empty");
  add_tools(record, "tools", ordered, chat);
  return chat;
}

}  // namespace athanor

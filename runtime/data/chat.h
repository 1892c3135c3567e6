// Conversations to text by a chat template, with the bytes that a model is trained to say.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "runtime/data/jinja/value.h"
#include "runtime/data/text_span.h"

namespace athanor {

struct ChatMessage {
  std::string role;
  jinja::Value fields;  // a dict, as the template sees it: role, content, tool_calls, …
  bool learn = true;    // false: an assistant's message that is not trained
};
ChatMessage text_message(const std::string& role, const std::string& content);

struct Conversation {
  std::vector<ChatMessage> messages;
  jinja::Value tools = jinja::Value::none();  // or a list
};

struct RenderedChat {
  std::string text;
  std::vector<ByteSpan> trained;  // from left to right
  // Earlier answers are not trained, because the template rewrites them once they are history.
  bool last_turn_only = false;
};

// A const ChatTemplate may be used by many threads at once.
class ChatTemplate {
 public:
  // `name`: "" or "default" is the model's own template, else one of runtime/data/templates or a
  // path that ends in .jinja. kConfig when there is none of this name. The names of special tokens
  // come from model_dir, which may be empty. `date` (YYYY-MM-DD) is what strftime_now sees in every
  // rendering; empty: the day of this call.
  static ChatTemplate load(const std::string& name, const std::filesystem::path& model_dir,
                           const std::string& date = "");
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  // The text before an answer.
  std::string prompt(const Conversation& conversation) const;

  // The whole conversation and what is trained of it (docs/data.md, "What is learned"): the
  // {% generation %} blocks of the template, else the places of the answers found by rendering what
  // comes before them. `last_answer_only`: of the last assistant message alone.
  RenderedChat render(const Conversation& conversation, bool last_answer_only = false) const;

  // What ends an answer, without white space behind it; empty when that cannot be told.
  const std::string& end_of_turn() const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace athanor

// ChatML. Templates of other models will come from their Jinja source.
#include "runtime/data/chat.h"

#include "core/error.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

constexpr std::string_view kStart = "<|im_start|>";
constexpr std::string_view kEnd = "<|im_end|>";

}  // namespace

ChatTemplate ChatTemplate::named(std::string_view name) {
  if (name != "chatml") {
    throw Error(ErrorKind::kConfig,
                "template: " + in_quotes(name) + " is not known (known: chatml)");
  }
  return ChatTemplate();
}

RenderedChat ChatTemplate::render(std::span<const ChatMessage> messages,
                                  bool generation_prompt) const {
  RenderedChat chat;
  std::string& text = chat.text;
  for (const ChatMessage& message : messages) {
    text += kStart;
    text += message.role;
    text += '\n';
    const int64_t begin = static_cast<int64_t>(text.size());
    text += message.content;
    text += kEnd;
    if (message.role == "assistant") {
      chat.trained.push_back({begin, static_cast<int64_t>(text.size())});
    }
    text += '\n';
  }
  if (generation_prompt) {
    text += kStart;
    text += "assistant\n";
  }
  return chat;
}

std::string_view ChatTemplate::end_of_turn() const { return kEnd; }

}  // namespace athanor

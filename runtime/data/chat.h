// Conversations to text by a named template, with the bytes that a model is trained to say.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/text_span.h"

namespace athanor {

struct ChatMessage {
  std::string role;
  std::string content;
};

struct RenderedChat {
  std::string text;
  std::vector<ByteSpan> trained;  // one per assistant message, in order
};

// `chatml`: <|im_start|>role\ncontent<|im_end|>\n per message. Trained: the assistant's content and
// its <|im_end|>, not the newline behind it.
class ChatTemplate {
 public:
  static ChatTemplate named(std::string_view name);  // kConfig when unknown, listing the known ones

  // generation_prompt opens an assistant turn at the end.
  RenderedChat render(std::span<const ChatMessage> messages, bool generation_prompt) const;

  // The text that ends a turn, where a generation stops.
  std::string_view end_of_turn() const;

 private:
  ChatTemplate() = default;
};

}  // namespace athanor

// ChatML text and the bytes that are trained.
#include "runtime/data/chat.h"

#include "tests/data/data_test_support.h"

namespace athanor {
namespace {

std::string trained_text(const RenderedChat& chat, size_t i) {
  return chat.text.substr(chat.trained[i].begin, chat.trained[i].size());
}

TEST(ChatMl, RendersRolesAndMarksAssistantTurns) {
  const std::vector<ChatMessage> messages = {
      {"system", "S"}, {"user", "hi"}, {"assistant", "yo"}, {"user", "u2"}, {"assistant", ""}};
  const RenderedChat chat = ChatTemplate::named("chatml").render(messages, false);
  EXPECT_EQ(chat.text,
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
            "<|im_start|>assistant\nyo<|im_end|>\n<|im_start|>user\nu2<|im_end|>\n"
            "<|im_start|>assistant\n<|im_end|>\n");
  ASSERT_EQ(chat.trained.size(), 2u);
  EXPECT_EQ(trained_text(chat, 0), "yo<|im_end|>");
  EXPECT_EQ(trained_text(chat, 1), "<|im_end|>");
}

TEST(ChatMl, GenerationPromptOpensAnAssistantTurn) {
  const std::vector<ChatMessage> messages = {{"user", "hi"}};
  const RenderedChat chat = ChatTemplate::named("chatml").render(messages, true);
  EXPECT_EQ(chat.text, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_TRUE(chat.trained.empty());
}

TEST(ChatTemplate, UnknownNameListsKnownOnes) {
  const Error error = error_of([] { ChatTemplate::named("llama9"); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_NE(error.message().find("llama9"), std::string::npos);
  EXPECT_NE(error.message().find("chatml"), std::string::npos);
}

}  // namespace
}  // namespace athanor

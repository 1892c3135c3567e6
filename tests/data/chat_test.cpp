// Chat templates: where they come from, and what is trained of what they render.
#include "runtime/data/chat.h"

#include "tests/data/data_test_support.h"

namespace athanor {
namespace {

Conversation turns(std::initializer_list<std::pair<const char*, const char*>> messages) {
  Conversation conversation;
  for (const auto& [role, content] : messages) {
    conversation.messages.push_back(text_message(role, content));
  }
  return conversation;
}

const Conversation kTwoTurns =
    turns({{"user", "u1"}, {"assistant", "a1"}, {"user", "u2"}, {"assistant", "a2"}});

// The trained parts, with | between them.
std::string learned(const RenderedChat& chat) {
  std::string text;
  for (const ByteSpan& span : chat.trained) {
    text += (text.empty() ? "" : "|") + chat.text.substr(span.begin, span.size());
  }
  return text;
}

class ChatTemplateFiles : public ::testing::Test {
 protected:
  ChatTemplate of(const std::string& source) {
    folder_.write("chat_template.jinja", source);
    return ChatTemplate::load("", folder_.path());
  }
  void config(const nlohmann::json& json) { folder_.write("tokenizer_config.json", json.dump()); }
  TempFolder folder_;
};

TEST(NamedChatTemplates, ChatMlFramesEveryRoleAndTrainsAnswersWithTheirEnd) {
  const ChatTemplate chatml = ChatTemplate::load("chatml", "");
  const RenderedChat chat = chatml.render(turns(
      {{"system", "S"}, {"user", "hi"}, {"assistant", "yo"}, {"user", "u2"}, {"assistant", ""}}));
  EXPECT_EQ(chat.text,
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
            "<|im_start|>assistant\nyo<|im_end|>\n<|im_start|>user\nu2<|im_end|>\n"
            "<|im_start|>assistant\n<|im_end|>\n");
  EXPECT_EQ(learned(chat), "yo<|im_end|>|<|im_end|>");
  EXPECT_EQ(chatml.prompt(turns({{"user", "hi"}})),
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(chatml.end_of_turn(), "<|im_end|>");
}

struct NamedCase {
  const char* name;
  const char* text;     // of system S and two turns, with bos_token <B> and eos_token <E>
  const char* learned;  // of it
  const char* prompt;   // behind the first user's turn
};
std::ostream& operator<<(std::ostream& out, const NamedCase& c) { return out << c.name; }

class NamedTemplates : public ::testing::TestWithParam<NamedCase> {};

TEST_P(NamedTemplates, RendersAndTrainsTheAnswers) {
  const TempFolder folder;
  folder.write("tokenizer_config.json", R"({"bos_token": "<B>", "eos_token": {"content": "<E>"}})");
  const ChatTemplate chat = ChatTemplate::load(GetParam().name, folder.path());
  Conversation conversation = kTwoTurns;
  conversation.messages.insert(conversation.messages.begin(), text_message("system", "S"));
  const RenderedChat rendered = chat.render(conversation);
  EXPECT_EQ(rendered.text, GetParam().text);
  EXPECT_EQ(learned(rendered), GetParam().learned);
  conversation.messages.resize(2);
  EXPECT_EQ(chat.prompt(conversation), GetParam().prompt);
  EXPECT_FALSE(chat.end_of_turn().empty());
}

INSTANTIATE_TEST_SUITE_P(
    All, NamedTemplates,
    ::testing::Values(
        NamedCase{"llama2",
                  "<B>[INST] <<SYS>>\nS\n<</SYS>>\n\nu1 [/INST] a1 <E><B>[INST] u2 [/INST] a2 <E>",
                  " a1 <E>| a2 <E>", "<B>[INST] <<SYS>>\nS\n<</SYS>>\n\nu1 [/INST]"},
        NamedCase{"llama3",
                  "<B><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
                  "<|start_header_id|>user<|end_header_id|>\n\nu1<|eot_id|>"
                  "<|start_header_id|>assistant<|end_header_id|>\n\na1<|eot_id|>"
                  "<|start_header_id|>user<|end_header_id|>\n\nu2<|eot_id|>"
                  "<|start_header_id|>assistant<|end_header_id|>\n\na2<|eot_id|>",
                  "a1<|eot_id|>|a2<|eot_id|>",
                  "<B><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
                  "<|start_header_id|>user<|end_header_id|>\n\nu1<|eot_id|>"
                  "<|start_header_id|>assistant<|end_header_id|>\n\n"},
        NamedCase{"qwen",
                  "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nu1<|im_end|>\n"
                  "<|im_start|>assistant\na1<|im_end|>\n<|im_start|>user\nu2<|im_end|>\n"
                  "<|im_start|>assistant\na2<|im_end|>\n",
                  "a1<|im_end|>|a2<|im_end|>",
                  "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nu1<|im_end|>\n"
                  "<|im_start|>assistant\n"},
        NamedCase{"mistral", "<B>[INST] S\n\nu1[/INST] a1<E>[INST] u2[/INST] a2<E>",
                  " a1<E>| a2<E>", "<B>[INST] S\n\nu1[/INST]"},
        NamedCase{"gemma",
                  "<B><start_of_turn>user\nS\n\nu1<end_of_turn>\n<start_of_turn>model\n"
                  "a1<end_of_turn>\n<start_of_turn>user\nu2<end_of_turn>\n<start_of_turn>model\n"
                  "a2<end_of_turn>\n",
                  "a1<end_of_turn>|a2<end_of_turn>",
                  "<B><start_of_turn>user\nS\n\nu1<end_of_turn>\n<start_of_turn>model\n"},
        NamedCase{"phi",
                  "<|system|>\nS<|end|>\n<|user|>\nu1<|end|>\n<|assistant|>\na1<|end|>\n"
                  "<|user|>\nu2<|end|>\n<|assistant|>\na2<|end|>\n",
                  "a1<|end|>|a2<|end|>",
                  "<|system|>\nS<|end|>\n<|user|>\nu1<|end|>\n<|assistant|>\n"},
        NamedCase{"phi4",
                  "<|im_start|>system<|im_sep|>S<|im_end|><|im_start|>user<|im_sep|>u1<|im_end|>"
                  "<|im_start|>assistant<|im_sep|>a1<|im_end|><|im_start|>user<|im_sep|>u2"
                  "<|im_end|><|im_start|>assistant<|im_sep|>a2<|im_end|>",
                  "a1<|im_end|>|a2<|im_end|>",
                  "<|im_start|>system<|im_sep|>S<|im_end|><|im_start|>user<|im_sep|>u1<|im_end|>"
                  "<|im_start|>assistant<|im_sep|>"},
        NamedCase{"vicuna", "S USER: u1 ASSISTANT: a1<E>USER: u2 ASSISTANT: a2<E>", " a1<E>| a2<E>",
                  "S USER: u1 ASSISTANT:"},
        NamedCase{"alpaca",
                  "S\n\n### Instruction:\nu1\n\n### Response:\na1<E>\n\n"
                  "### Instruction:\nu2\n\n### Response:\na2<E>\n\n",
                  "a1<E>|a2<E>", "S\n\n### Instruction:\nu1\n\n### Response:\n"},
        NamedCase{"deepseek3",
                  "<B>S<｜User｜>u1<｜Assistant｜>a1<E><｜User｜>u2<｜Assistant｜>a2<E>",
                  "a1<E>|a2<E>", "<B>S<｜User｜>u1<｜Assistant｜>"}));

TEST(NamedChatTemplates, ToolsAreRefusedWhereThereIsNoFormForThem) {
  Conversation conversation = kTwoTurns;
  conversation.tools = jinja::Value::list({jinja::Value(jinja::Dict())});
  for (const char* name : {"chatml", "llama3", "mistral", "gemma", "phi", "alpaca"}) {
    const Error error = error_of([&] { ChatTemplate::load(name, "").render(conversation); });
    EXPECT_NE(error.message().find(name), std::string::npos) << error.message();
    EXPECT_NE(error.message().find("tools"), std::string::npos) << error.message();
  }
}

TEST(NamedChatTemplates, UnknownNameListsKnownOnes) {
  const Error error = error_of([] { ChatTemplate::load("llama9", ""); });
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_NE(error.message().find("llama9"), std::string::npos);
  EXPECT_NE(error.message().find("alpaca, chatml, deepseek3"), std::string::npos);
}

TEST_F(ChatTemplateFiles, TheFileWinsOverTheConfigWhichMayNameSeveral) {
  const auto prompt = [&](bool tools) {
    Conversation conversation = kTwoTurns;
    if (tools) conversation.tools = jinja::Value::list({jinja::Value(std::string("t"))});
    return ChatTemplate::load("default", folder_.path()).prompt(conversation);
  };
  config({{"chat_template", "config"}});
  EXPECT_EQ(prompt(false), "config");
  config({{"chat_template",
           {{{"name", "tool_use"}, {"template", "with {{ tools | length }}"}},
            {{"name", "default"}, {"template", "without"}}}}});
  EXPECT_EQ(prompt(false), "without");
  EXPECT_EQ(prompt(true), "with 1");
  folder_.write("chat_template.jinja", "file {{ bos_token }}{{ tools is none }}");
  EXPECT_EQ(prompt(false), "file True");
  folder_.write("special_tokens_map.json", R"({"bos_token": "<s>"})");
  EXPECT_EQ(prompt(false), "file <s>True");
}

TEST_F(ChatTemplateFiles, AModelWithoutTemplateNeedsAName) {
  for (const char* json : {"{}", R"({"chat_template": null})"}) {
    folder_.write("tokenizer_config.json", json);
    const Error error = error_of([&] { ChatTemplate::load("", folder_.path()); });
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_NE(error.message().find("has no chat template"), std::string::npos);
  }
  config({{"chat_template", 3}});
  const Error error = error_of([&] { ChatTemplate::load("", folder_.path()); });
  EXPECT_NE(error.message().find("tokenizer_config.json: chat_template: expected a string"),
            std::string::npos);
}

TEST_F(ChatTemplateFiles, GenerationBlocksAreWhatIsTrained) {
  const ChatTemplate chat =
      of("{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}"
         "{% generation %}{{ m.content }}{% endgeneration %}!{% else %}{{ m.content }}{% endif %}"
         "{% endfor %}");
  EXPECT_EQ(learned(chat.render(kTwoTurns)), "a1|a2");
  EXPECT_EQ(learned(chat.render(kTwoTurns, true)), "a2");
  Conversation weighted = kTwoTurns;
  weighted.messages[1].learn = false;
  EXPECT_EQ(learned(chat.render(weighted)), "a2");
  weighted.messages[3].learn = false;
  EXPECT_EQ(learned(chat.render(weighted)), "");
}

TEST_F(ChatTemplateFiles, WithoutBlocksAnswersLieBetweenBeginnings) {
  const ChatTemplate chat =
      of("{{ '<s>' }}{% for m in messages %}<{{ m.role }}>{{ m.content }}</t>\n{% endfor %}"
         "{% if add_generation_prompt %}<assistant>{% endif %}");
  const RenderedChat all = chat.render(kTwoTurns);
  EXPECT_EQ(learned(all), "a1</t>|a2</t>");  // not the line break that nobody generates
  EXPECT_FALSE(all.last_turn_only);
  EXPECT_EQ(learned(chat.render(kTwoTurns, true)), "a2</t>");
  // An answer that ends in white space keeps it.
  EXPECT_EQ(learned(chat.render(turns({{"user", "u"}, {"assistant", "a \n"}}))), "a \n</t>");
  // Two answers in a row, and a user at the end.
  EXPECT_EQ(learned(chat.render(
                turns({{"user", "u"}, {"assistant", "a"}, {"assistant", "b"}, {"user", "v"}}))),
            "a</t>|b</t>");
  EXPECT_EQ(learned(chat.render(turns({{"user", "u"}}))), "");
}

TEST_F(ChatTemplateFiles, ATemplateThatRewritesHistoryTrainsTheLastAnswerOnly) {
  const ChatTemplate chat =
      of("{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' and loop.last %}"
         "<think></think>{% endif %}{{ m.content }}</t>{% endfor %}"
         "{% if add_generation_prompt %}<assistant>{% endif %}");
  const RenderedChat all = chat.render(kTwoTurns);
  EXPECT_EQ(learned(all), "<think></think>a2</t>");
  EXPECT_TRUE(all.last_turn_only);
  EXPECT_FALSE(chat.render(turns({{"user", "u"}, {"assistant", "a"}})).last_turn_only);
}

TEST_F(ChatTemplateFiles, APromptThatOpensMoreThanTheAnswerHasIsCutToWhatBothShare) {
  const ChatTemplate chat =
      of("{% for m in messages %}<{{ m.role }}>{{ m.content }}</t>{% endfor %}"
         "{% if add_generation_prompt %}<assistant>[think]{% endif %}");
  EXPECT_EQ(learned(chat.render(kTwoTurns)), "a1</t>|a2</t>");
}

TEST_F(ChatTemplateFiles, AnAnswerWithoutAPlaceIsAnError) {
  // The system message disappears when the conversation does not end with the user.
  const ChatTemplate chat =
      of("{% for m in messages %}{% if m.role == 'user' and loop.last %}SYSTEM {% endif %}"
         "{{ m.content }};{% endfor %}");
  const Error error = error_of([&] { chat.render(kTwoTurns); });
  EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
  EXPECT_NE(error.message().find("cannot tell where the last answer begins"), std::string::npos);
}

TEST_F(ChatTemplateFiles, ErrorsOfATemplateNameIt) {
  const ChatTemplate chat = of("{{ raise_exception('no system please') }}");
  const Error error = error_of([&] { chat.render(kTwoTurns); });
  EXPECT_NE(error.message().find("chat_template.jinja"), std::string::npos);
  EXPECT_NE(error.message().find("no system please"), std::string::npos);
  EXPECT_EQ(chat.end_of_turn(), "");
}

TEST(ChatDate, IsOneForEveryRendering) {
  const TempFolder folder;
  const std::string file =
      folder.write("t.jinja", "{{ strftime_now('%d %B %Y') }}{{ messages[0].content }}");
  const Conversation chat{{text_message("user", "x"), text_message("assistant", "y")}};
  EXPECT_EQ(ChatTemplate::load(file, "", "2024-07-26").prompt(chat), "26 July 2024x");
  EXPECT_EQ(ChatTemplate::load(file, "", "2024-07-26").render(chat).text, "26 July 2024x");
}

}  // namespace
}  // namespace athanor

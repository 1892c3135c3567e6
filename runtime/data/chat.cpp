// Rendering, and where the answers are in what was rendered.
#include "runtime/data/chat.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string_view>

#include "core/error.h"
#include "runtime/data/chat_source.h"
#include "runtime/data/data_inputs.h"
#include "runtime/data/jinja/template.h"
#include "runtime/data/json_text.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

std::string_view without_space_behind(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n");
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

int64_t common_prefix(std::string_view a, std::string_view b) {
  return std::mismatch(a.begin(), a.begin() + static_cast<int64_t>(std::min(a.size(), b.size())),
                       b.begin())
             .first -
         a.begin();
}

std::vector<size_t> answers_of(const Conversation& conversation) {
  std::vector<size_t> answers;
  for (size_t i = 0; i < conversation.messages.size(); ++i) {
    if (conversation.messages[i].role == "assistant") answers.push_back(i);
  }
  return answers;
}

}  // namespace

ChatMessage text_message(const std::string& role, const std::string& content) {
  jinja::Dict fields;
  fields.set("role", jinja::Value(role));
  fields.set("content", jinja::Value(content));
  return {role, jinja::Value(std::move(fields)), true};
}

struct ChatTemplate::Impl {
  jinja::Template plain;
  std::optional<jinja::Template> with_tools;
  std::map<std::string, std::string> special_tokens;
  std::string name;
  std::string end_of_turn;
  std::string date;

  // The first `count` messages.
  jinja::Rendered render(const Conversation& conversation, size_t count, bool open_answer) const {
    jinja::List messages;
    for (size_t i = 0; i < count; ++i) messages.push_back(conversation.messages[i].fields);
    jinja::Dict variables;
    variables.set("messages", jinja::Value::list(std::move(messages)));
    variables.set("tools", conversation.tools);
    variables.set("documents", jinja::Value::none());
    variables.set("add_generation_prompt", jinja::Value(open_answer));
    for (const auto& [key, token] : special_tokens) variables.set(key, jinja::Value(token));
    const bool tools = with_tools && !conversation.tools.is_none();
    return (tools ? *with_tools : plain).render(jinja::Value(std::move(variables)), date);
  }

  // A beginning of the conversation; nothing when the template refuses it.
  std::optional<std::string> beginning(const Conversation& conversation, size_t count,
                                       bool open_answer) const {
    try {
      return render(conversation, count, open_answer).text;
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  std::string find_end_of_turn() const {
    constexpr std::string_view kAnswer = "athanor-answer";
    const Conversation conversation{
        {text_message("user", "a"), text_message("assistant", std::string(kAnswer))}};
    const std::optional<std::string> text = beginning(conversation, 2, false);
    const size_t at = text ? text->rfind(kAnswer) : std::string::npos;
    if (at == std::string::npos) return "";
    const std::string_view rest = std::string_view(*text).substr(at + kAnswer.size());
    return std::string(without_space_behind(rest));
  }

  // The answer of message `index` in the text of all. Nothing when what comes before it, or the
  // conversation up to it, is not how the text begins.
  std::optional<ByteSpan> locate(const Conversation& conversation, size_t index,
                                 std::string_view text) const {
    const auto before = beginning(conversation, index, true);
    if (!before) return std::nullopt;
    ByteSpan span{common_prefix(*before, text), static_cast<int64_t>(text.size())};
    if (span.begin < static_cast<int64_t>(before->size())) {
      // The turn may open otherwise when the answer is known (with or without a thinking block).
      const auto history = beginning(conversation, index, false);
      if (!history || history->empty() || !text.starts_with(*history)) return std::nullopt;
      if (span.begin <= static_cast<int64_t>(history->size())) return std::nullopt;
    }
    if (index + 1 < conversation.messages.size()) {
      const auto after = beginning(conversation, index + 1, false);
      if (!after || !text.starts_with(*after)) return std::nullopt;
      span.end = static_cast<int64_t>(after->size());
    }
    // A model stops at the end of its turn: what is printed behind it is not learned.
    if (span.end < span.begin) return std::nullopt;
    const std::string_view answer = text.substr(span.begin, span.size());
    const std::string_view cut = without_space_behind(answer);
    if (!end_of_turn.empty() && cut.ends_with(end_of_turn)) {
      span.end = span.begin + static_cast<int64_t>(cut.size());
    }
    return span;
  }

  void use_generation_blocks(const Conversation& conversation, std::span<const size_t> answers,
                             const std::vector<ByteSpan>& blocks, bool last_answer_only,
                             RenderedChat& chat) const;
  void use_beginnings(const Conversation& conversation, std::span<const size_t> answers,
                      bool last_answer_only, RenderedChat& chat) const;
};

void ChatTemplate::Impl::use_generation_blocks(const Conversation& conversation,
                                               std::span<const size_t> answers,
                                               const std::vector<ByteSpan>& blocks,
                                               bool last_answer_only, RenderedChat& chat) const {
  const bool one_each = blocks.size() == answers.size();
  const bool learn_all = std::all_of(answers.begin(), answers.end(), [&](size_t answer) {
    return conversation.messages[answer].learn;
  });
  if (!one_each && (last_answer_only || !learn_all)) {
    throw Error(ErrorKind::kBadInput,
                name + ": has " + std::to_string(blocks.size()) + " {% generation %} blocks for " +
                    std::to_string(answers.size()) +
                    " assistant messages; mask_history and weights need one for each");
  }
  for (size_t i = last_answer_only ? blocks.size() - 1 : 0; i < blocks.size(); ++i) {
    if (one_each && !conversation.messages[answers[i]].learn) continue;
    chat.trained.push_back(blocks[i]);
  }
}

void ChatTemplate::Impl::use_beginnings(const Conversation& conversation,
                                        std::span<const size_t> answers, bool last_answer_only,
                                        RenderedChat& chat) const {
  const auto add = [&](size_t answer) {
    const std::optional<ByteSpan> span = locate(conversation, answer, chat.text);
    if (span && conversation.messages[answer].learn) chat.trained.push_back(*span);
    return span.has_value();
  };
  if (!last_answer_only) {
    if (std::all_of(answers.begin(), answers.end(), add)) return;
    chat.trained.clear();
    chat.last_turn_only = true;
  }
  if (!add(answers.back())) {
    throw Error(ErrorKind::kBadInput,
                name +
                    ": cannot tell where the last answer begins, since the template renders "
                    "what comes before it differently once it is there");
  }
}

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

ChatTemplate ChatTemplate::load(const std::string& name, const std::filesystem::path& model_dir,
                                const std::string& date) {
  const auto parse = [](const TemplateSource& source) {
    return jinja::Template(source.text, source.name);
  };
  const auto make = [&](const TemplateSource& source) {
    return std::make_unique<Impl>(Impl{parse(source), std::nullopt, special_token_names(model_dir),
                                       source.name, "", date.empty() ? today() : date});
  };
  std::unique_ptr<Impl> impl;
  if (name.empty() || name == "default") {
    const std::optional<TemplateSource> plain = model_template(model_dir, false);
    if (!plain) {
      throw Error(ErrorKind::kConfig,
                  "template: the model folder " + model_dir.string() +
                      " has no chat template (chat_template.jinja, or chat_template in "
                      "tokenizer_config.json); name one (known: " +
                      known_template_names() + ", or a .jinja file)");
    }
    impl = make(*plain);
    const std::optional<TemplateSource> tools = model_template(model_dir, true);
    if (tools->text != plain->text) impl->with_tools.emplace(parse(*tools));
  } else if (name.ends_with(".jinja")) {
    impl = make({name, read_text_file(name, ErrorKind::kConfig)});
  } else {
    const auto& known = named_templates();
    const auto found = std::find_if(known.begin(), known.end(),
                                    [&](const auto& source) { return source.name == name; });
    if (found == known.end()) {
      throw Error(ErrorKind::kConfig, "template: " + in_quotes(name) + " is not known (known: " +
                                          known_template_names() + ", or a .jinja file)");
    }
    impl = make({"template " + found->name, found->text});
  }
  impl->end_of_turn = impl->find_end_of_turn();
  return ChatTemplate(std::move(impl));
}

std::string ChatTemplate::prompt(const Conversation& conversation) const {
  return impl_->render(conversation, conversation.messages.size(), true).text;
}

RenderedChat ChatTemplate::render(const Conversation& conversation, bool last_answer_only) const {
  jinja::Rendered rendered = impl_->render(conversation, conversation.messages.size(), false);
  RenderedChat chat{std::move(rendered.text), {}, false};
  const std::vector<size_t> answers = answers_of(conversation);
  if (!rendered.generation.empty() && !rendered.generation_misplaced) {
    impl_->use_generation_blocks(conversation, answers, rendered.generation, last_answer_only,
                                 chat);
  } else if (!answers.empty()) {
    impl_->use_beginnings(conversation, answers, last_answer_only, chat);
  }
  return chat;
}

const std::string& ChatTemplate::end_of_turn() const { return impl_->end_of_turn; }

}  // namespace athanor

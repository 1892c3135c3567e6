#include "runtime/data/data_inputs.h"

#include <algorithm>
#include <ctime>
#include <optional>

#include "core/error.h"
#include "runtime/data/chat_source.h"
#include "runtime/data/dataset_info.h"
#include "runtime/data/json_text.h"
#include "runtime/data/regex.h"
#include "runtime/data/unicode.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

// To be raised when the same input gives other ids, labels, order or counts than before.
constexpr int kMeaning = 1;

constexpr const char* kModelFiles[] = {"tokenizer.json",
                                       "tokenizer_config.json",
                                       "special_tokens_map.json",
                                       "generation_config.json",
                                       "config.json",
                                       "chat_template.jinja",
                                       "additional_chat_templates/tool_use.jinja"};

bool is_own_template(const DataOptions& options) {
  return options.template_name.empty() || options.template_name == "default";
}

// The texts of the template; none where the model has no template.
std::vector<std::string> template_texts(const DataOptions& options) {
  std::vector<std::string> texts;
  if (is_own_template(options)) {
    for (const bool with_tools : {false, true}) {
      try {
        if (auto source = model_template(options.model_dir, with_tools)) {
          texts.push_back(std::move(source->text));
        }
      } catch (const Error&) {
        // Malformed; an error as soon as a conversation needs it. Its bytes count as a file.
      }
    }
  } else if (options.template_name.ends_with(".jinja")) {
    texts.push_back(read_text_file(options.template_name, ErrorKind::kConfig));
  } else {
    for (const TemplateSource& source : named_templates()) {
      if (source.name == options.template_name) texts.push_back(source.text);
    }
  }
  return texts;
}

// "name=text" of known length, so that no two lists give one string.
class Settings {
 public:
  void add(const std::string& name, const std::string& text) {
    text_ += name + ":" + std::to_string(text.size()) + "=" + text + "\n";
  }
  void add(const std::string& name, int64_t value) { add(name, std::to_string(value)); }
  void add(const std::string& name, double value) {
    char text[40];
    std::snprintf(text, sizeof text, "%.17g", value);
    add(name, std::string(text));
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void add_columns(const RecordColumns& c, Settings& settings) {
  settings.add("chat", int64_t{c.chat});
  for (const std::string* name :
       {&c.prompt, &c.query, &c.response, &c.history, &c.system, &c.tools, &c.messages, &c.role_tag,
        &c.content_tag, &c.user_tag, &c.assistant_tag, &c.observation_tag, &c.function_tag,
        &c.system_tag}) {
    settings.add("column", *name);
  }
}

}  // namespace

DataInputs data_inputs(const DataOptions& options, int64_t vocab_size) {
  DataInputs inputs;
  Settings settings;
  settings.add("meaning", int64_t{kMeaning});
  settings.add("regular expressions", regex_version());
  settings.add("unicode", unicode_version());
  for (const std::string& entry : options.datasets) {
    const DatasetSource source = resolve_dataset(entry, options.dataset_dir);
    inputs.files.push_back(source.file);
    settings.add("dataset", source.file.string());
    if (source.columns) add_columns(*source.columns, settings);
  }
  for (const char* name : kModelFiles) inputs.files.push_back(options.model_dir / name);
  const std::vector<std::string> texts = template_texts(options);
  settings.add("template", options.template_name);
  for (const std::string& text : texts) settings.add("text", text);
  if (template_uses_date(options)) {
    settings.add("date", options.date.empty() ? today() : options.date);
  }
  settings.add("stage", static_cast<int64_t>(options.stage));
  settings.add("vocab_size", vocab_size);
  settings.add("cutoff_len", options.cutoff_len);
  settings.add("train_on_prompt", int64_t{options.train_on_prompt});
  settings.add("mask_history", int64_t{options.mask_history});
  settings.add("max_samples", options.max_samples);
  settings.add("val_size", options.val_size);
  settings.add("mix", static_cast<int64_t>(options.mix));
  for (const double share : options.interleave_probs) settings.add("share", share);
  const bool draws = options.val_size > 0 || options.mix != Mix::kConcat;
  if (draws) settings.add("seed", static_cast<int64_t>(options.seed));
  inputs.settings = settings.take();
  return inputs;
}

bool template_uses_date(const DataOptions& options) {
  const std::vector<std::string> texts = template_texts(options);
  return std::any_of(texts.begin(), texts.end(), [](const std::string& text) {
    return text.find("strftime_now") != std::string::npos;
  });
}

std::string today() {
  const std::time_t seconds = std::time(nullptr);
  std::tm when = {};
  localtime_r(&seconds, &when);
  char text[16];
  const size_t size = std::strftime(text, sizeof text, "%Y-%m-%d", &when);
  return {text, size};
}

}  // namespace athanor

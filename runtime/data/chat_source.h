// Where a chat template comes from: the files of a model folder, or runtime/data/templates.
// Internal to runtime/data and the verb `render`.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace athanor {

struct TemplateSource {
  std::string name;  // opens each message; of a named template, the name
  std::string text;
};

// The files of runtime/data/templates, by their names without the ending.
const std::vector<TemplateSource>& named_templates();
std::string known_template_names();  // "alpaca, chatml, …"

// bos_token, eos_token, unk_token, pad_token, sep_token, cls_token, mask_token: those that
// tokenizer_config.json names, else special_tokens_map.json. What a template may print.
std::map<std::string, std::string> special_token_names(const std::filesystem::path& model_dir);

// The model's own template, as transformers chooses: chat_template.jinja, else `chat_template` of
// tokenizer_config.json, which is a text or a list of named ones. With tools, the one named
// `tool_use` if there is one (a file of additional_chat_templates, or in the list), else `default`.
// Nothing when the model has none; kBadInput when it is malformed.
std::optional<TemplateSource> model_template(const std::filesystem::path& model_dir,
                                             bool with_tools);

}  // namespace athanor

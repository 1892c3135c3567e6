// Chat templates of model folders.
#include "runtime/data/chat_source.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/data/json_field.h"
#include "runtime/data/json_text.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& file) {
  std::error_code ignored;
  return fs::exists(file, ignored);
}

std::optional<nlohmann::json> read_optional(const fs::path& file) {
  if (!is_there(file)) return std::nullopt;
  return parse_json(read_text_file(file, ErrorKind::kBadInput), file.string());
}

std::optional<TemplateSource> read_template(const fs::path& file) {
  if (!is_there(file)) return std::nullopt;
  return TemplateSource{file.string(), read_text_file(file, ErrorKind::kBadInput)};
}

// chat_template: a text, or a list of {name, template}.
std::optional<TemplateSource> template_of_config(const JsonField& config, bool with_tools) {
  const std::optional<JsonField> field = config.find("chat_template");
  if (!field) return std::nullopt;
  const std::string name = config.place() + ": chat_template";
  if (field->value().is_string()) return TemplateSource{name, field->string()};
  if (!field->value().is_array()) field->fail("expected a string or a list of named templates");
  std::optional<TemplateSource> found;
  for (const JsonField& entry : field->items()) {
    const std::string& kind = entry.at("name").string();
    const std::string& text = entry.at("template").string();
    if (kind == "tool_use" && with_tools) return TemplateSource{name, text};
    if (kind == "default") found = TemplateSource{name, text};
  }
  if (!found) field->fail("none of the named templates is called default");
  return found;
}

}  // namespace

std::string known_template_names() {
  std::string names;
  for (const TemplateSource& source : named_templates()) {
    names += (names.empty() ? "" : ", ") + source.name;
  }
  return names;
}

std::map<std::string, std::string> special_token_names(const fs::path& model_dir) {
  std::map<std::string, std::string> names;
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const fs::path file = model_dir / name;
    const std::optional<nlohmann::json> config = read_optional(file);
    if (!config) continue;
    const JsonField root(*config, file.string());
    for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token",
                            "cls_token", "mask_token"}) {
      const std::optional<JsonField> token = root.find(key);
      if (!token) continue;
      names.emplace(key,
                    token->value().is_object() ? token->at("content").string() : token->string());
    }
  }
  return names;
}

std::optional<TemplateSource> model_template(const fs::path& model_dir, bool with_tools) {
  if (with_tools) {
    auto source = read_template(model_dir / "additional_chat_templates" / "tool_use.jinja");
    if (source) return source;
  }
  if (auto source = read_template(model_dir / "chat_template.jinja")) return source;
  const fs::path file = model_dir / "tokenizer_config.json";
  const std::optional<nlohmann::json> config = read_optional(file);
  if (!config) return std::nullopt;
  return template_of_config(JsonField(*config, file.string()), with_tools);
}

}  // namespace athanor

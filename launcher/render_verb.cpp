// athanor render: a conversation through a chat template.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "launcher/verbs.h"
#include "runtime/data/jinja/template.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& file) {
  if (!fs::exists(file)) throw Error(ErrorKind::kConfig, file.string() + " does not exist");
  std::ifstream in(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) throw Error(ErrorKind::kIo, "reading " + file.string() + " failed");
  return text;
}

nlohmann::json read_json(const fs::path& file) {
  const std::string text = read_file(file);
  jinja::value_from_json(text, file.string());  // bounds the depth, errors with their place
  return nlohmann::json::parse(text);
}

struct Source {
  std::string text;
  std::string name;
  nlohmann::json config;  // tokenizer_config.json, or null
};

// A special token of tokenizer_config.json: a string or {"content": …}.
std::optional<std::string> special_token(const nlohmann::json& config, const char* key) {
  if (!config.is_object() || !config.contains(key)) return std::nullopt;
  const nlohmann::json& token = config.at(key);
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token.at("content").is_string())
    return token.at("content").get<std::string>();
  return std::nullopt;
}

// chat_template is a string, or a list of {name, template} of which `default` is the one, or with
// tools `tool_use`, as transformers chooses.
std::string template_of(const nlohmann::json& config, const std::string& name, bool with_tools) {
  const auto missing = [&] {
    throw Error(ErrorKind::kBadInput,
                name +
                    ": chat_template is missing or neither a string nor a list of named ones, "
                    "and the folder has no chat_template.jinja; give one with --template");
  };
  if (!config.is_object() || !config.contains("chat_template")) missing();
  const nlohmann::json& value = config.at("chat_template");
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) missing();
  std::optional<std::string> found;
  for (const nlohmann::json& entry : value) {
    if (!entry.is_object() || !entry.value("template", nlohmann::json()).is_string()) missing();
    const nlohmann::json kind = entry.value("name", nlohmann::json());
    if (kind == "tool_use" && with_tools) return entry.at("template").get<std::string>();
    if (kind == "default") found = entry.at("template").get<std::string>();
  }
  if (!found) missing();
  return *found;
}

Source source_of(const RenderArguments& arguments) {
  if (!arguments.template_file.empty()) {
    return {read_file(arguments.template_file), arguments.template_file, nullptr};
  }
  const fs::path folder = arguments.model;
  if (!fs::is_directory(folder))
    throw Error(ErrorKind::kConfig, "the model folder " + folder.string() + " does not exist");
  Source source;
  const fs::path config = folder / "tokenizer_config.json";
  const fs::path file = folder / "chat_template.jinja";
  if (fs::exists(config) || !fs::exists(file)) {
    source.config = read_json(config);
  }
  if (fs::exists(file)) {
    source.name = file.string();
    source.text = read_file(file);
  } else {
    source.name = config.string();
    source.text = template_of(source.config, source.name, !arguments.tools.empty());
    source.name += ": chat_template";
  }
  return source;
}

}  // namespace

int run_render(const RenderArguments& arguments) {
  if (arguments.model.empty() == arguments.template_file.empty())
    throw Error(ErrorKind::kUsage, "render needs a MODEL folder or --template FILE, one of them");
  const Source source = source_of(arguments);
  const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  const jinja::Value messages = jinja::value_from_json(input, "standard input");
  if (!messages.is_sequence())
    throw Error(ErrorKind::kBadInput, "standard input: needed a JSON list of messages");
  jinja::Dict variables;
  variables.set("messages", messages);
  variables.set("add_generation_prompt", jinja::Value(arguments.generation_prompt));
  variables.set("tools", jinja::Value::none());
  if (!arguments.tools.empty()) {
    variables.set("tools", jinja::value_from_json(read_file(arguments.tools), arguments.tools));
  }
  for (const auto& [key, given] :
       {std::pair("bos_token", &arguments.bos), std::pair("eos_token", &arguments.eos)}) {
    const std::optional<std::string> token = *given ? *given : special_token(source.config, key);
    if (token) variables.set(key, jinja::Value(*token));
  }
  for (const char* key : {"unk_token", "pad_token"}) {
    if (const auto token = special_token(source.config, key))
      variables.set(key, jinja::Value(*token));
  }
  const jinja::Template parsed(source.text, source.name);
  const std::string text = parsed.render(jinja::Value(std::move(variables)), arguments.date).text;
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) != 0) throw Error(ErrorKind::kIo, "writing to standard output failed");
  return 0;
}

}  // namespace athanor

// athanor render: a conversation through a chat template.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <string>

#include "core/error.h"
#include "launcher/verbs.h"
#include "runtime/data/chat_source.h"
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

TemplateSource source_of(const RenderArguments& arguments) {
  if (!arguments.template_file.empty()) {
    return {arguments.template_file, read_file(arguments.template_file)};
  }
  const fs::path folder = arguments.model;
  if (!fs::is_directory(folder))
    throw Error(ErrorKind::kConfig, "the model folder " + folder.string() + " does not exist");
  const std::optional<TemplateSource> source = model_template(folder, !arguments.tools.empty());
  if (!source) {
    throw Error(ErrorKind::kBadInput,
                folder.string() +
                    ": no chat template (chat_template.jinja, or chat_template in "
                    "tokenizer_config.json); give one with --template");
  }
  return *source;
}

}  // namespace

int run_render(const RenderArguments& arguments) {
  if (arguments.model.empty() == arguments.template_file.empty())
    throw Error(ErrorKind::kUsage, "render needs a MODEL folder or --template FILE, one of them");
  const TemplateSource source = source_of(arguments);
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
  std::map<std::string, std::string> tokens;
  if (!arguments.model.empty()) tokens = special_token_names(arguments.model);
  if (arguments.bos) tokens["bos_token"] = *arguments.bos;
  if (arguments.eos) tokens["eos_token"] = *arguments.eos;
  for (const auto& [key, token] : tokens) variables.set(key, jinja::Value(token));
  const jinja::Template parsed(source.text, source.name);
  const std::string text = parsed.render(jinja::Value(std::move(variables)), arguments.date).text;
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) != 0) throw Error(ErrorKind::kIo, "writing to standard output failed");
  return 0;
}

}  // namespace athanor

// Special tokens of a model folder and the template of the post-processor.
#include "runtime/data/special_tokens.h"

#include <nlohmann/json.hpp>

#include "runtime/data/json_text.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

std::optional<nlohmann::json> read_optional(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return std::nullopt;
  return parse_json(read_text_file(file, ErrorKind::kBadInput), file.string());
}

// "token" or {"content": "token", …}.
std::string token_name(const JsonField& config, std::string_view key) {
  const std::optional<JsonField> field = config.find(key);
  if (!field) return "";
  return field->value().is_object() ? field->at("content").string() : field->string();
}

std::vector<int64_t> ids(const JsonField& config, std::string_view key) {
  const std::optional<JsonField> field = config.find(key);
  if (!field) return {};
  if (!field->value().is_array()) return {field->integer()};
  std::vector<int64_t> result;
  for (const JsonField& item : field->items()) result.push_back(item.integer());
  return result;
}

std::vector<int32_t> template_ids(const JsonField& piece, const JsonField& special_tokens) {
  const JsonField entry = special_tokens.at(piece.at("id").string());
  std::vector<int32_t> result;
  for (const JsonField& id : entry.at("ids").items()) {
    if (id.integer() < 0 || id.integer() > INT32_MAX) id.fail("not a token id");
    result.push_back(static_cast<int32_t>(id.integer()));
  }
  return result;
}

// ["token", id]
int32_t paired_id(const JsonField& pair) {
  const std::vector<JsonField> items = pair.items();
  if (items.size() != 2) pair.fail("expected [token, id]");
  const int64_t id = items[1].integer();
  if (id < 0 || id > INT32_MAX) items[1].fail("not a token id");
  return static_cast<int32_t>(id);
}

void add_template(PostProcessor& result, const JsonField& config) {
  bool after_text = false;
  for (const JsonField& piece : config.at("single").items()) {
    if (const auto sequence = piece.find("Sequence")) {
      if (after_text) sequence->fail("the text may appear only once in a template");
      after_text = true;
      continue;
    }
    const std::vector<int32_t> added =
        template_ids(piece.at("SpecialToken"), config.at("special_tokens"));
    std::vector<int32_t>& side = after_text ? result.suffix : result.prefix;
    side.insert(side.end(), added.begin(), added.end());
  }
  if (!after_text) config.at("single").fail("the template has no place for the text");
}

}  // namespace

SpecialTokens SpecialTokens::load(const std::filesystem::path& model_dir) {
  SpecialTokens result;
  const std::filesystem::path names = model_dir / "tokenizer_config.json";
  if (const auto config = read_optional(names)) {
    const JsonField root(*config, names.string());
    result.bos_token = token_name(root, "bos_token");
    result.eos_token = token_name(root, "eos_token");
    result.file = names.string();
  }
  for (const char* name : {"generation_config.json", "config.json"}) {
    const std::filesystem::path file = model_dir / name;
    const auto config = read_optional(file);
    if (!config) continue;
    const JsonField root(*config, file.string());
    const std::vector<int64_t> bos = ids(root, "bos_token_id");
    if (!result.bos_id && !bos.empty()) result.bos_id = bos.front();
    if (result.eos_ids.empty()) result.eos_ids = ids(root, "eos_token_id");
  }
  return result;
}

PostProcessor PostProcessor::from_json(const std::optional<JsonField>& config) {
  PostProcessor result;
  if (!config) return result;
  const std::string& type = config->at("type").string();
  if (type == "Sequence") {
    // A later processor goes around the earlier ones.
    for (const JsonField& item : config->at("processors").items()) {
      const PostProcessor inner = from_json(item);
      result.prefix.insert(result.prefix.begin(), inner.prefix.begin(), inner.prefix.end());
      result.suffix.insert(result.suffix.end(), inner.suffix.begin(), inner.suffix.end());
    }
  } else if (type == "TemplateProcessing") {
    add_template(result, *config);
  } else if (type == "RobertaProcessing" || type == "BertProcessing") {
    result.prefix = {paired_id(config->at("cls"))};
    result.suffix = {paired_id(config->at("sep"))};
  } else if (type != "ByteLevel") {  // ByteLevel only trims offsets
    config->fail(
        "post_processor type " + in_quotes(type) +
        " is not supported (known: Sequence, TemplateProcessing, ByteLevel, RobertaProcessing, "
        "BertProcessing)");
  }
  return result;
}

}  // namespace athanor

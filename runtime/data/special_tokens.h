// Which tokens begin and end a text, from the JSON files beside tokenizer.json, and what the
// post-processor puts around an encoded text. Internal to runtime/data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runtime/data/json_field.h"

namespace athanor {

struct SpecialTokens {
  std::string bos_token;  // as tokenizer_config.json names them; empty: none
  std::string eos_token;
  std::optional<int64_t> bos_id;  // from generation_config.json, else config.json
  std::vector<int64_t> eos_ids;
  std::string file;  // that named the tokens, for messages

  // Files that are missing are fine.
  static SpecialTokens load(const std::filesystem::path& model_dir);
};

// The `post_processor`: TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel, Sequence.
struct PostProcessor {
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;

  static PostProcessor from_json(const std::optional<JsonField>& config);
};

}  // namespace athanor

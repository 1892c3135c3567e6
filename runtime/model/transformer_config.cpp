#include "runtime/model/transformer_config.h"

#include <string>

#include "core/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/model/families/families.h"
#include "runtime/model/families/json_reader.h"

namespace athanor {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{4} << 20;

void check_consistent(const std::string& file, const TransformerConfig& config) {
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorKind::kBadInput, file + ": " + what);
  };
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    fail("num_attention_heads is " + std::to_string(config.num_attention_heads) +
         ", needed a multiple of num_key_value_heads = " +
         std::to_string(config.num_key_value_heads));
  }
  if (config.head_dim % 2 != 0) {
    fail("head_dim is " + std::to_string(config.head_dim) + ", rotary embedding needs an even one");
  }
  if (config.rotary_dim % 2 != 0 || config.rotary_dim < 2) {
    fail("head_dim is " + std::to_string(config.head_dim) + " with " +
         std::to_string(config.rotary_dim) +
         " rotated elements, rotary embedding needs an even number of them");
  }
  if (config.query_size() > kMaxWidth) {
    fail("num_attention_heads x head_dim is " + std::to_string(config.query_size()) +
         ", needed at most " + std::to_string(kMaxWidth));
  }
}

// transformers 4 writes torch_dtype, transformers 5 dtype. Only a hint: the files decide.
std::optional<DType> stored_dtype(const JsonReader& reader) {
  const std::string name = reader.text("torch_dtype", reader.text("dtype", ""));
  if (name == "float32") return DType::kF32;
  if (name == "bfloat16") return DType::kBF16;
  return std::nullopt;
}

}  // namespace

TransformerConfig load_transformer_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  const std::string file = path.string();
  std::error_code failed;
  if (!std::filesystem::exists(path, failed)) {
    throw Error(ErrorKind::kConfig, file + ": " + (failed ? failed.message() : "no such file") +
                                        "; model_name_or_path needs a Hugging Face model folder");
  }
  return parse_transformer_config(read_file(path, kMaxConfigBytes), file);
}

TransformerConfig parse_transformer_config(std::string_view text, const std::string& file) {
  const nlohmann::json json = parse_strict_json(text, file);
  if (!json.is_object()) {
    throw Error(ErrorKind::kBadInput, file + ": found " + shown(json) + ", needed a JSON object");
  }
  const JsonReader reader(json, file);
  const std::string type = reader.text("model_type");
  for (const Family& family : families()) {
    if (type != family.model_type) continue;
    TransformerConfig config = family.parse(reader);
    config.model_type = type;
    config.stored_dtype = stored_dtype(reader);
    reader.refuse_unknown();
    check_consistent(file, config);
    return config;
  }
  std::string known;
  for (const Family& family : families()) {
    known += known.empty() ? family.model_type : std::string(", ") + family.model_type;
  }
  throw Error(ErrorKind::kBadInput,
              file + ": model_type " + in_quotes(type) + " is not supported; known: " + known);
}

}  // namespace athanor

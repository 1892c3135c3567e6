// Which keys count, after peft/tuners/lora/config.py and peft/config.py of PEFT 0.21.2.
#include "runtime/io/peft.h"

#include <cmath>
#include <limits>
#include <system_error>

#include "core/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/strict_json.h"

namespace athanor {
namespace {

using nlohmann::json;

constexpr int64_t kMaxConfigBytes = 16 << 20;
constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kSuffixA = ".lora_A.weight";
constexpr std::string_view kSuffixB = ".lora_B.weight";
constexpr std::string_view kSuffixMagnitude = ".lora_magnitude_vector";

constexpr std::string_view suffix(LoraFactor factor) {
  return factor == LoraFactor::kA   ? kSuffixA
         : factor == LoraFactor::kB ? kSuffixB
                                    : kSuffixMagnitude;
}

// Features that change which tensors exist or what is computed from them. Only absent, null,
// false, empty or, for bias, "none" is known to be without effect.
constexpr const char* kUnsupported[] = {"bias",
                                        "lora_bias",
                                        "layer_replication",
                                        "fan_in_fan_out",
                                        "exclude_modules",
                                        "layers_to_transform",
                                        "layers_pattern",
                                        "trainable_token_indices",
                                        "target_parameters",
                                        "use_qalora",
                                        "use_bdlora",
                                        "alora_invocation_tokens",
                                        "arrow_config",
                                        "kasa_config",
                                        "monteclora_config",
                                        "velora_config",
                                        "megatron_config"};

// Initialisations that leave the base weights as they are; the others (pissa, olora, corda, loftq)
// subtract the adapter from them, so the adapter alone does not belong to the base model.
constexpr std::string_view kHarmlessInit[] = {"gaussian", "eva", "orthogonal"};

class Reader {
 public:
  Reader(const json& document, std::string origin)
      : document_(document), origin_(std::move(origin)) {}

  [[noreturn]] void refuse(const char* key, const std::string& needed) const {
    const json* value = find(key);
    throw Error(ErrorKind::kBadInput, origin_ + ": " + key + ": found " +
                                          (value ? shown(*value) : "nothing") + ", needed " +
                                          needed);
  }

  // nullptr when absent or null.
  const json* find(const char* key) const {
    const auto found = document_.find(key);
    return found == document_.end() || found->is_null() ? nullptr : &*found;
  }

  double number(const char* key, double fallback) const {
    const json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_number()) refuse(key, "a number");
    return value->get<double>();
  }

  bool boolean(const char* key) const {
    const json* value = find(key);
    if (value != nullptr && !value->is_boolean()) refuse(key, "true or false");
    return value != nullptr && value->get<bool>();
  }

  std::string string(const char* key) const {
    const json* value = find(key);
    if (value != nullptr && !value->is_string()) refuse(key, "a string");
    return value == nullptr ? std::string() : value->get<std::string>();
  }

 private:
  const json& document_;
  std::string origin_;
};

bool without_effect(const json& value) {
  return value == json(false) || value == json("none") ||
         ((value.is_array() || value.is_object()) && value.empty());
}

void refuse_unsupported(const Reader& reader) {
  if (reader.string("peft_type") != "LORA") reader.refuse("peft_type", "\"LORA\"");
  for (const char* key : kUnsupported) {
    const json* value = reader.find(key);
    if (value != nullptr && !without_effect(*value)) {
      reader.refuse(key, "it off (not supported by this program)");
    }
  }
  const json* init = reader.find("init_lora_weights");
  if (init == nullptr || init->is_boolean()) return;
  for (const std::string_view harmless : kHarmlessInit) {
    if (*init == json(harmless)) return;
  }
  reader.refuse("init_lora_weights",
                "true, false, gaussian, eva or orthogonal (others change "
                "the base weights)");
}

void read_target_modules(const Reader& reader, PeftConfig& config) {
  constexpr char kKey[] = "target_modules";
  const json* value = reader.find(kKey);
  if (value == nullptr) reader.refuse(kKey, "a list of module names or a pattern");
  if (value->is_string()) {
    config.target_modules = {value->get<std::string>()};
    config.target_modules_is_pattern = true;
    return;
  }
  if (!value->is_array() || value->empty()) reader.refuse(kKey, "module names");
  for (const json& name : *value) {
    if (!name.is_string()) reader.refuse(kKey, "a list of strings");
    config.target_modules.push_back(name.get<std::string>());
  }
}

void read_modules_to_save(const Reader& reader, PeftConfig& config) {
  constexpr char kKey[] = "modules_to_save";
  const json* value = reader.find(kKey);
  if (value == nullptr) return;
  if (!value->is_array()) reader.refuse(kKey, "a list of module names");
  for (const json& name : *value) {
    if (!name.is_string() || name == json("")) reader.refuse(kKey, "a list of module names");
    config.modules_to_save.push_back(name.get<std::string>());
  }
}

// Values by pattern; `check` returns what is needed where a value is wrong.
template <class Value, class Check>
void read_pattern(const nlohmann::ordered_json& document, const Reader& reader, const char* key,
                  std::vector<std::pair<std::string, Value>>& out, Check check) {
  const auto found = document.find(key);
  if (found == document.end() || found->is_null()) return;
  if (!found->is_object()) reader.refuse(key, "an object of patterns");
  for (const auto& [pattern, value] : found->items()) {
    const double number = value.is_number() ? value.template get<double>() : 0.0;
    if (const char* needed = check(number)) reader.refuse(key, needed);
    out.emplace_back(pattern, static_cast<Value>(number));
  }
}

const char* wrong_rank(double r) {
  return r >= 1.0 && r <= 1e6 && r == std::floor(r) ? nullptr : "integers from 1";
}

const char* wrong_alpha(double alpha) {
  return std::isfinite(alpha) && alpha != 0 ? nullptr : "finite numbers that are not 0";
}

// PEFT declares integers; a fraction still loads.
template <class Json>
void put_number(Json& to, double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) {
    to = static_cast<int64_t>(value);
  } else {
    to = value;
  }
}

}  // namespace

PeftConfig read_peft_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kPeftConfigFile;
  std::error_code failed;
  if (!std::filesystem::exists(path, failed)) {
    throw Error(ErrorKind::kConfig, path.string() + ": " +
                                        (failed ? failed.message() : "no such file") +
                                        ", needed the folder of a PEFT adapter");
  }
  const std::string text = read_file(path, kMaxConfigBytes);
  const json document = parse_strict_json(text, path.string());
  if (!document.is_object()) {
    throw Error(ErrorKind::kBadInput,
                path.string() + ": found " + shown(document) + ", needed an object");
  }
  const Reader reader(document, path.string());
  refuse_unsupported(reader);
  PeftConfig config;
  config.base_model_name_or_path = reader.string("base_model_name_or_path");
  const double r = reader.number("r", 8.0);
  if (!(r >= 1.0 && r <= 1e6) || r != std::floor(r)) reader.refuse("r", "an integer from 1");
  config.r = static_cast<int64_t>(r);
  config.lora_alpha = reader.number("lora_alpha", 8.0);
  if (!std::isfinite(config.lora_alpha)) reader.refuse("lora_alpha", "a finite number");
  config.lora_dropout = reader.number("lora_dropout", 0.0);
  if (!(config.lora_dropout >= 0.0 && config.lora_dropout < 1.0)) {
    reader.refuse("lora_dropout", "0 <= p < 1");
  }
  config.use_rslora = reader.boolean("use_rslora");
  config.use_dora = reader.boolean("use_dora");
  const auto ordered = nlohmann::ordered_json::parse(text);
  read_pattern(ordered, reader, "rank_pattern", config.rank_pattern, wrong_rank);
  read_pattern(ordered, reader, "alpha_pattern", config.alpha_pattern, wrong_alpha);
  read_target_modules(reader, config);
  read_modules_to_save(reader, config);
  config.ensure_weight_tying = reader.boolean("ensure_weight_tying");
  return config;
}

void write_peft_config(const std::filesystem::path& folder, const PeftConfig& config) {
  nlohmann::ordered_json document;  // the order of patterns counts
  document["peft_type"] = "LORA";
  document["task_type"] = "CAUSAL_LM";
  document["base_model_name_or_path"] = config.base_model_name_or_path;
  document["inference_mode"] = true;
  document["r"] = config.r;
  put_number(document["lora_alpha"], config.lora_alpha);
  document["lora_dropout"] = config.lora_dropout;
  if (config.target_modules_is_pattern) {
    ATHANOR_CHECK(config.target_modules.size() == 1, "one pattern");
    document["target_modules"] = config.target_modules.front();
  } else {
    document["target_modules"] = config.target_modules;
  }
  document["bias"] = "none";
  document["fan_in_fan_out"] = false;
  document["init_lora_weights"] = true;
  document["modules_to_save"] = nullptr;
  if (!config.modules_to_save.empty()) document["modules_to_save"] = config.modules_to_save;
  if (config.ensure_weight_tying) document["ensure_weight_tying"] = true;  // older PEFT has no key
  document["use_rslora"] = config.use_rslora;
  document["use_dora"] = config.use_dora;
  document["rank_pattern"] = nlohmann::ordered_json::object();
  for (const auto& [pattern, rank] : config.rank_pattern) document["rank_pattern"][pattern] = rank;
  document["alpha_pattern"] = nlohmann::ordered_json::object();
  for (const auto& [pattern, alpha] : config.alpha_pattern) {
    put_number(document["alpha_pattern"][pattern], alpha);
  }
  write_file_atomic(folder / kPeftConfigFile, document.dump(2) + "\n");
}

std::string peft_tensor_name(std::string_view module_path, LoraFactor factor) {
  std::string name(kPrefix);
  name += module_path;
  name += suffix(factor);
  return name;
}

std::string peft_saved_name(std::string_view parameter) {
  return std::string(kPrefix) + std::string(parameter);
}

std::optional<PeftTensorName> parse_peft_tensor_name(std::string_view tensor_name) {
  if (!tensor_name.starts_with(kPrefix)) return std::nullopt;
  tensor_name.remove_prefix(kPrefix.size());
  for (const LoraFactor factor : {LoraFactor::kA, LoraFactor::kB, LoraFactor::kMagnitude}) {
    if (!tensor_name.ends_with(suffix(factor))) continue;
    tensor_name.remove_suffix(suffix(factor).size());
    if (tensor_name.empty()) return std::nullopt;
    return PeftTensorName{std::string(tensor_name), factor};
  }
  return std::nullopt;
}

}  // namespace athanor

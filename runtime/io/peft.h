// PEFT adapters on disk: adapter_config.json, and the names of the tensors in
// adapter_model.safetensors. Few keys are written, so that old readers load them; unknown keys are
// tolerated on reading; a known key that changes the mathematics in a way this program does not
// compute is Error(kBadInput) with the key and its value, never ignored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace athanor {

struct PeftConfig {
  std::string base_model_name_or_path;
  int64_t r = 8;
  double lora_alpha = 8.0;
  double lora_dropout = 0.0;
  // Module names (PEFT matches whole dotted suffixes), or one pattern: a regular expression that
  // matches the whole module path, or "all-linear".
  std::vector<std::string> target_modules;
  bool target_modules_is_pattern = false;
  bool use_rslora = false;
  bool use_dora = false;
  // In the file's order: of several patterns that match a module's path the first counts.
  std::vector<std::pair<std::string, int64_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;
  // Ends of the paths of modules that train whole, and whether tied ones among them stay tied.
  std::vector<std::string> modules_to_save;
  bool ensure_weight_tying = false;
};

inline constexpr char kPeftConfigFile[] = "adapter_config.json";
inline constexpr char kPeftWeightsFile[] = "adapter_model.safetensors";

// `folder` is the adapter's.
PeftConfig read_peft_config(const std::filesystem::path& folder);
void write_peft_config(const std::filesystem::path& folder, const PeftConfig& config);

// A: [r, in], B: [out, r], DoRA's magnitude: [out].
enum class LoraFactor { kA, kB, kMagnitude };

// ("model.layers.0.self_attn.q_proj", kA) →
// "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
std::string peft_tensor_name(std::string_view module_path, LoraFactor factor);

struct PeftTensorName {
  std::string module_path;
  LoraFactor factor = LoraFactor::kA;
};

// Of a parameter of a saved module: "lm_head.weight" → "base_model.model.lm_head.weight".
std::string peft_saved_name(std::string_view parameter);

// Inverse of peft_tensor_name; nullopt for anything else (embeddings, saved modules).
std::optional<PeftTensorName> parse_peft_tensor_name(std::string_view tensor_name);

}  // namespace athanor

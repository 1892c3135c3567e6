// Adapters that are broken, or belong to another base model.
#include "tests/bad_input/scene.h"

namespace athanor::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kConfig[] = "adapter/adapter_config.json";
constexpr char kWeights[] = "adapter/adapter_model.safetensors";

// Goes on training the golden adapter after `spoil`.
auto adapter(std::function<void(Scene&)> spoil) {
  return [spoil = std::move(spoil)](Scene& s) {
    fs::rename(s / "model/adapter", s / "adapter");
    s.set("adapter_name_or_path", s.path("adapter"));
    spoil(s);
  };
}

auto with(const char* key, Json value) {
  return adapter([key, value = std::move(value)](Scene& s) {
    s.edit_json(kConfig, [&](Json& config) { config[key] = value; });
  });
}

auto header(std::function<void(Json&)> edit) {
  return adapter([edit = std::move(edit)](Scene& s) { s.edit_header(kWeights, edit); });
}

std::string tensor(const std::string& module, const char* factor) {
  return "base_model.model.model.layers.0." + module + ".lora_" + factor + ".weight";
}

const BadInput kCases[] = {
    {"FolderMissing", 78, "/nowhere/adapter_config.json", "no such file", "a PEFT adapter",
     adapter([](Scene& s) { s.set("adapter_name_or_path", "/nowhere"); })},
    {"ConfigMissing", 78, "adapter_config.json", "no such file", "a PEFT adapter",
     adapter([](Scene& s) { fs::remove(s / kConfig); })},
    {"WeightsMissing", 65, "adapter_model.safetensors", "cannot be opened", "No such file",
     adapter([](Scene& s) { fs::remove(s / kWeights); })},
    {"WeightsAreAFifo", 65, "adapter_model.safetensors", "not a regular", "file",
     adapter([](Scene& s) { s.make_fifo(kWeights); })},
    {"WeightsLinkElsewhere", 65, "adapter_model.safetensors", "elsewhere", "outside",
     adapter([](Scene& s) {
       fs::rename(s / kWeights, s / "elsewhere");
       s.link(kWeights, s / "elsewhere");
     })},
    {"ConfigIsNoJson", 65, "adapter_config.json", "not valid JSON", "expected",
     adapter([](Scene& s) { s.write(kConfig, "{\"r\" 8}"); })},
    {"ConfigIsAList", 65, "adapter_config.json", "found []", "an object",
     adapter([](Scene& s) { s.write(kConfig, "[]"); })},
    {"RankZero", 65, "adapter_config.json: r", "found 0", "an integer from 1", with("r", 0)},
    {"RankIsText", 65, "adapter_config.json: r", "found \"4\"", "a number", with("r", "4")},
    {"OtherRank", 65, "adapter_model.safetensors", "has shape [4,", "needed [8,", with("r", 8)},
    {"HugeRank", 65, "adapter_model.safetensors", "has shape [4,", "needed [1000000,",
     with("r", 1'000'000)},
    {"UnknownTarget", 65, "adapter_config.json: target_modules", "\"qkv_proj\" matches no",
     "q_proj", with("target_modules", {"q_proj", "qkv_proj"})},
    {"BrokenPattern", 65, "adapter_config.json: target_modules", "regular expression \"(\"",
     "at byte", with("target_modules", "(")},
    {"TargetIsANumber", 65, "adapter_config.json: target_modules", "found [1]", "a list of strings",
     with("target_modules", {1})},
    {"DoraWithoutItsTensors", 65, "adapter_model.safetensors", "no tensor", "lora_magnitude_vector",
     with("use_dora", true)},
    {"SavedModuleMissing", 65, "adapter_model.safetensors", "no tensor", "lm_head.weight",
     with("modules_to_save", {"lm_head"})},
    {"SavedMatchesNothing", 65, "adapter_config.json: modules_to_save", "\"score\" matches no",
     "lm_head", with("modules_to_save", {"score"})},
    {"SavedAndAdapted", 65, "adapter_config.json: modules_to_save", "q_proj\" has an adapter", "",
     with("modules_to_save", {"q_proj"})},
    {"RankOfAPattern", 65, "adapter_config.json: rank_pattern", "found {\"q_proj\":0}",
     "integers from 1", with("rank_pattern", {{"q_proj", 0}})},
    {"FewerTargetsThanTensors", 65, "adapter_model.safetensors", "belongs to no adapted layer",
     "down_proj", with("target_modules", {"q_proj"})},
    {"OtherBase", 65, "adapter_model.safetensors", "has shape [4, 64]", "needed [4, 48]",
     adapter([](Scene& s) {
       Json header;
       header[tensor("self_attn.q_proj", "A")] = {
           {"dtype", "F32"}, {"shape", {4, 64}}, {"data_offsets", {0, 1024}}};
       s.write(kWeights, safetensors(header.dump(), 1024));
     })},
    {"TensorMissing", 65, "adapter_model.safetensors", "no tensor", "q_proj.lora_B",
     header([](Json& h) {
       const std::string b = tensor("self_attn.q_proj", "B");
       h["renamed"] = h[b];
       h.erase(b);
     })},
    {"ForeignTensor", 65, "adapter_model.safetensors", "tensor extra", "no adapted layer",
     header([](Json& h) {
       h["extra"] = {{"dtype", "F32"}, {"shape", {0}}, {"data_offsets", {0, 0}}};
     })},
    {"IntegerWeights", 65, "adapter_model.safetensors", "is I32", "needed F32, BF16 or F16",
     header([](Json& h) { h[tensor("mlp.down_proj", "A")]["dtype"] = "I32"; })},
    {"GenerateWithAMissingAdapter", 78, "/nowhere/adapter_config.json", "no such file",
     "a PEFT adapter",
     [](Scene& s) {
       s.arguments = {"generate",    s.path("model"), "--adapter",     "/nowhere",
                      "--logits-of", "[1]",           "--logits-file", s.path("logits")};
     }},
};

ATHANOR_BAD_INPUT(Adapter, kCases);

}  // namespace
}  // namespace athanor::testing

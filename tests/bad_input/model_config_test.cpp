// config.json of a model.
#include "tests/bad_input/scene.h"

namespace athanor::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kFile[] = "model/config.json";

auto text(std::string content) {
  return [content = std::move(content)](Scene& s) { s.write(kFile, content); };
}

// The golden config with one value replaced.
auto with(const char* key, Json value) {
  return [key, value = std::move(value)](Scene& s) {
    s.edit_json(kFile, [&](Json& config) { config[key] = value; });
  };
}

auto without(const char* key) {
  return [key](Scene& s) { s.edit_json(kFile, [&](Json& config) { config.erase(key); }); };
}

const BadInput kCases[] = {
    {"Missing", 78, "config.json", "no such file", "model folder",
     [](Scene& s) { fs::remove(s / kFile); }},
    {"FolderMissing", 78, "nowhere/config.json", "no such file", "model folder",
     [](Scene& s) { s.set("model_name_or_path", "/nowhere"); }},
    {"IsAFolder", 74, "config.json", "cannot open", "not a regular file",
     [](Scene& s) { s.make_folder(kFile); }},
    {"IsAFifo", 74, "config.json", "cannot open", "not a regular file",
     [](Scene& s) { s.make_fifo(kFile); }},
    {"Empty", 65, "config.json", "not valid JSON", "unexpected end", text("")},
    {"NoJson", 65, "config.json", "not valid JSON", "expected", text("{\"vocab_size\": }")},
    {"List", 65, "config.json", "found []", "needed a JSON object", text("[]")},
    {"TooLarge", 65, "config.json", "found 5000000 bytes", "needed at most",
     text(std::string(5'000'000, ' '))},
    {"DeepNesting", 65, "config.json", "nested deeper", "64 levels",
     text("{\"model_type\":" + std::string(200'000, '['))},
    {"NotUtf8", 65, "config.json", "not valid JSON", "UTF-8", text("{\"model_type\":\"\xff\"}")},
    {"KeyTwice", 65, "config.json", "the key \"vocab_size\"", "twice",
     text("{\"vocab_size\":131,\"vocab_size\":7}")},
    {"SizeMissing", 65, "config.json: vocab_size", "found nothing", "an integer from 1 to",
     without("vocab_size")},
    {"SizeNull", 65, "config.json: intermediate_size", "found null", "an integer from 1 to",
     with("intermediate_size", nullptr)},
    {"SizeZero", 65, "config.json: hidden_size", "found 0", "an integer from 1 to 1048576",
     with("hidden_size", 0)},
    {"SizeNegative", 65, "config.json: num_hidden_layers", "found -3", "an integer from 1 to 4096",
     with("num_hidden_layers", -3)},
    {"SizeFraction", 65, "config.json: num_attention_heads", "found 6.5", "an integer from 1 to",
     with("num_attention_heads", 6.5)},
    {"SizeExponent", 65, "config.json: hidden_size", "found 1e+18", "an integer from 1 to 1048576",
     with("hidden_size", 1e18)},
    {"SizeBeyond63Bits", 65, "config.json: vocab_size", "found 18446744073709551615",
     "an integer from 1 to 16777216", with("vocab_size", 18446744073709551615u)},
    {"SizeText", 65, "config.json: hidden_size", "found \"48\"", "an integer from 1 to",
     with("hidden_size", "48")},
    {"SizeList", 65, "config.json: head_dim", "found [10]", "an integer from 1 to",
     with("head_dim", {10})},
    {"TwoBillionLayers", 65, "config.json: num_hidden_layers", "found 2147483647",
     "an integer from 1 to 4096", with("num_hidden_layers", 2147483647)},
    {"ManyLayersWithoutWeights", 65, "model", "has no tensor", "model.layers.3.",
     with("num_hidden_layers", 4096)},
    {"HugeHeads", 65, "config.json", "num_attention_heads x head_dim is 1048576000000",
     "needed at most 1048576",
     [](Scene& s) {
       with("num_attention_heads", 1'000'000)(s);
       with("num_key_value_heads", 1'000'000)(s);
       with("head_dim", 1'048'576)(s);
     }},
    {"HugeVocabulary", 71, "", "6400000", "cannot allocate",
     [](Scene& s) {
       with("vocab_size", 16'000'000)(s);
       with("hidden_size", 1'000'000)(s);
       s.set("train_from_scratch", "true");
     }},
    {"HeadsDoNotDivide", 65, "config.json: hidden_size", "found 48",
     "a multiple of num_attention_heads",
     [](Scene& s) {
       without("head_dim")(s);
       with("num_attention_heads", 7)(s);
     }},
    {"KeyHeadsDoNotDivide", 65, "config.json", "num_attention_heads is 6",
     "a multiple of num_key_value_heads = 4", with("num_key_value_heads", 4)},
    {"OddHead", 65, "config.json", "head_dim is 9", "needs an even one", with("head_dim", 9)},
    {"NoModelType", 65, "config.json: model_type", "found nothing", "needed a string",
     without("model_type")},
    {"UnknownModelType", 65, "config.json", "model_type \"mamba\"", "known: llama",
     with("model_type", "mamba")},
    {"ModelTypeOnManyLines", 65, "config.json", "model_type \"a\\x0aerror: b", "known: llama",
     with("model_type", "a\nerror: b")},
    {"OtherActivation", 65, "config.json: hidden_act", "found \"gelu\"", "needed \"silu\"",
     with("hidden_act", "gelu")},
    {"BiasWithoutItsTensors", 65, "model", "has no tensor", "self_attn.q_proj.bias",
     with("attention_bias", true)},
    {"UnknownKey", 65, "config.json: partial_gating", "found 0.5", "without this key",
     with("partial_gating", 0.5)},
    {"UnknownKeyOfARope", 65, "config.json: rope_parameters: stretch", "found 2",
     "without this key",
     with("rope_parameters", {{"rope_type", "linear"}, {"factor", 2}, {"stretch", 2}})},
    {"BooleanIsText", 65, "config.json: tie_word_embeddings", "found \"yes\"",
     "needed true or false", with("tie_word_embeddings", "yes")},
    {"RopeFactorMissing", 65, "config.json: rope_scaling: factor", "found nothing",
     "a positive number", with("rope_scaling", {{"type", "linear"}})},
    {"RopeFactorOfYarnMissing", 65, "config.json: rope_parameters: factor", "found nothing",
     "a positive number", with("rope_parameters", {{"rope_type", "yarn"}})},
    {"RopeFactorZero", 65, "config.json: rope_parameters: factor", "found 0", "a positive number",
     with("rope_parameters", {{"rope_type", "linear"}, {"factor", 0}})},
    {"OtherRope", 65, "config.json: rope_parameters: rope_type", "found \"longrope\"",
     "default, linear, llama3 or yarn", with("rope_parameters", {{"rope_type", "longrope"}})},
    {"ThetaBeyondFloat", 65, "config.json: rope_parameters: rope_theta", "found 1e+60",
     "that float32 holds", with("rope_parameters", {{"rope_theta", 1e60}})},
    {"ThetaZero", 65, "config.json: rope_theta", "found 0", "a positive number",
     with("rope_theta", 0)},
    {"EpsilonBelowFloat", 65, "config.json: rms_norm_eps", "found 1e-60", "that float32 holds",
     with("rms_norm_eps", 1e-60)},
    {"EpsilonNegative", 65, "config.json: rms_norm_eps", "found -1e-05", "a positive number",
     with("rms_norm_eps", -1e-5)},
};

ATHANOR_BAD_INPUT(ModelConfig, kCases);

}  // namespace
}  // namespace athanor::testing

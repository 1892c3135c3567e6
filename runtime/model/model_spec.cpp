#include "runtime/model/model_spec.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "runtime/io/peft.h"
#include "runtime/io/strict_json.h"

namespace athanor {
namespace {

struct ModuleShape {
  std::string path;  // "self_attn.q_proj"; empty: the model does not have it
  int64_t out_features = 0;
  int64_t in_features = 0;
  bool bias = false;
};

std::array<ModuleShape, kNumModules> module_shapes(const TransformerConfig& config) {
  const int64_t hidden = config.hidden_size;
  const int64_t queries = config.query_size();
  const int64_t keys = config.key_value_size();
  const int64_t inner = config.intermediate_size;
  const ModuleShape output{"self_attn.o_proj", hidden, queries, config.output_bias};
  const ModuleShape down{"mlp.down_proj", hidden, inner, config.mlp_bias};
  if (config.fused_projections) {
    return {{{},
             {},
             {},
             output,
             {},
             {},
             down,
             {"self_attn.qkv_proj", queries + 2 * keys, hidden, config.qkv_bias},
             {"mlp.gate_up_proj", 2 * inner, hidden, config.mlp_bias}}};
  }
  return {{{"self_attn.q_proj", queries, hidden, config.qkv_bias},
           {"self_attn.k_proj", keys, hidden, config.qkv_bias},
           {"self_attn.v_proj", keys, hidden, config.qkv_bias},
           output,
           {"mlp.gate_proj", inner, hidden, config.mlp_bias},
           {"mlp.up_proj", inner, hidden, config.mlp_bias},
           down,
           {},
           {}}};
}

// Names of the linear layers, for messages.
std::string module_names(const TransformerConfig& config) {
  std::string names;
  for (const ModuleShape& shape : module_shapes(config)) {
    if (shape.path.empty()) continue;
    names += (names.empty() ? "" : ", ") + shape.path.substr(shape.path.find('.') + 1);
  }
  return names;
}

constexpr char kEmbedding[] = "model.embed_tokens";
constexpr char kHead[] = "lm_head";

// Which parameters of the base train.
struct Trained {
  bool all = false;
  const LoraOptions* lora = nullptr;

  bool operator()(const std::string& module) const {
    return all || (lora != nullptr && lora->saves(module));
  }
};

[[noreturn]] void refuse_saved(const LoraOptions& lora, const std::string& name,
                               const std::string& what) {
  const bool file = !lora.targets_from.empty();
  throw Error(file ? ErrorKind::kBadInput : ErrorKind::kConfig,
              (file ? lora.targets_from + ": modules_to_save: " : "additional_target: ") +
                  in_quotes(name) + " " + what);
}

// After the units are made: a name must have trained something.
void check_saved(const ModelSpec& spec) {
  if (!spec.lora) return;
  for (const std::string& name : spec.lora->saved) {
    bool hit = name == kHead;  // also where it is the embedding's other use
    for (const UnitSpec& unit : spec.units) {
      for (const ParamSpec& param : unit.params) {
        hit = hit || param.name.substr(0, param.name.rfind('.')).ends_with(name);
      }
    }
    if (!hit) refuse_saved(*spec.lora, name, "matches no module, such as embed_tokens, lm_head");
  }
}

int add(UnitSpec& unit, ParamSpec param) {
  param.weight_decay = param.kind != ParamKind::kVector;
  unit.params.push_back(std::move(param));
  return static_cast<int>(unit.params.size()) - 1;
}

BlockParams add_block(ModelSpec& spec, int64_t layer, const Trained& trained,
                      LoraTargets* targets) {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  UnitSpec unit{prefix.substr(0, prefix.size() - 1), {}, 1};
  BlockParams block;
  const TransformerConfig& config = spec.config;
  const auto norm = [&](const char* name, int64_t size) {
    return add(unit, {prefix + name + ".weight", Shape{size}, ParamKind::kVector,
                      trained(prefix + name), false});
  };
  block.input_norm = norm("input_layernorm", config.hidden_size);
  if (config.sandwich_norms) {
    block.attention_output_norm = norm("post_attention_layernorm", config.hidden_size);
    block.post_attention_norm = norm("pre_feedforward_layernorm", config.hidden_size);
    block.mlp_output_norm = norm("post_feedforward_layernorm", config.hidden_size);
  } else {
    block.post_attention_norm = norm("post_attention_layernorm", config.hidden_size);
  }
  if (config.qk_norm) {
    block.q_norm = norm("self_attn.q_norm", config.head_dim);
    block.k_norm = norm("self_attn.k_norm", config.head_dim);
  }
  const auto shapes = module_shapes(config);
  for (size_t i = 0; i < kNumModules; ++i) {
    const ModuleShape& shape = shapes[i];
    block.weight[i] = block.bias[i] = -1;
    if (shape.path.empty()) continue;
    block.weight[i] = add(unit, {prefix + shape.path + ".weight",
                                 {shape.out_features, shape.in_features},
                                 ParamKind::kMatrix,
                                 trained(prefix + shape.path),
                                 true});
    if (!shape.bias) continue;
    block.bias[i] = add(unit, {prefix + shape.path + ".bias", Shape{shape.out_features},
                               ParamKind::kVector, trained(prefix + shape.path), false});
  }
  for (size_t i = 0; i < kNumModules; ++i) {
    block.lora_a[i] = block.lora_b[i] = block.lora_magnitude[i] = -1;
    const std::string module = prefix + shapes[i].path;
    if (targets == nullptr || shapes[i].path.empty()) continue;
    const auto adapter = targets->find(module);
    if (!adapter) continue;
    if (trained(module)) refuse_saved(*spec.lora, module, "has an adapter, which is in its place");
    const int64_t rank = block.lora_rank[i] = adapter->rank;
    block.lora_scaling[i] = adapter->scaling;
    block.lora_a[i] = add(unit, {peft_tensor_name(module, LoraFactor::kA),
                                 {rank, shapes[i].in_features},
                                 ParamKind::kMatrix,
                                 true,
                                 true});
    block.lora_b[i] = add(unit, {peft_tensor_name(module, LoraFactor::kB),
                                 {shapes[i].out_features, rank},
                                 ParamKind::kMatrix,
                                 true,
                                 true});
    if (!spec.lora->dora) continue;
    block.lora_magnitude[i] =
        add(unit, {peft_tensor_name(module, LoraFactor::kMagnitude), Shape{shapes[i].out_features},
                   ParamKind::kVector, true, true});
    unit.params.back().weight_decay = true;  // as PEFT's optimizers do: it is no norm by its name
  }
  spec.units.push_back(std::move(unit));
  return block;
}

void add_head(ModelSpec& spec, const Trained& trained) {
  const TransformerConfig& config = spec.config;
  const Shape norm{config.hidden_size};
  const ParamSpec final_norm{"model.norm.weight", norm, ParamKind::kVector, trained("model.norm"),
                             false};
  if (config.tie_word_embeddings) {
    spec.final_norm_param = add(spec.units[0], final_norm);
    spec.head_param = spec.embedding_param;
    spec.units[0].uses = 2;
    spec.chain.push_back({0, 1});
    return;
  }
  UnitSpec unit{"lm_head", {}, 1};
  spec.final_norm_param = add(unit, final_norm);
  spec.head_param = add(unit, {"lm_head.weight",
                               {config.vocab_size, config.hidden_size},
                               ParamKind::kMatrix,
                               trained(kHead),
                               true});
  spec.units.push_back(std::move(unit));
  spec.chain.push_back({static_cast<int>(spec.units.size()) - 1, 0});
}

// What is tied stays tied where both uses train as one.
void untie_if_trained_alone(ModelSpec& spec, const Trained& trained) {
  if (!spec.config.tie_word_embeddings || trained.all || trained.lora == nullptr) return;
  const bool embedding = trained(kEmbedding);
  const bool head = trained(kHead);
  if (!embedding && !head) return;
  const bool from_file = !trained.lora->targets_from.empty();
  if (from_file ? trained.lora->tie_saved : embedding && head) return;
  spec.config.tie_word_embeddings = false;
  spec.head_from_embedding = true;
}

bool trains(const UnitSpec& unit) {
  return std::any_of(unit.params.begin(), unit.params.end(),
                     [](const ParamSpec& param) { return param.trainable; });
}

}  // namespace

const char* module_name(Module module) {
  static constexpr const char* kNames[] = {"q_proj",    "k_proj",    "v_proj",
                                           "o_proj",    "gate_proj", "up_proj",
                                           "down_proj", "qkv_proj",  "gate_up_proj"};
  return kNames[static_cast<size_t>(module)];
}

int64_t ModelSpec::parameters() const {
  int64_t total = 0;
  for (const UnitSpec& unit : units) {
    for (const ParamSpec& param : unit.params) total += param.shape.numel();
  }
  return total;
}

int64_t ModelSpec::trainable_parameters() const {
  int64_t total = 0;
  for (const UnitSpec& unit : units) {
    for (const ParamSpec& param : unit.params) {
      if (param.trainable) total += param.shape.numel();
    }
  }
  return total;
}

ModelSpec build_model_spec(const TransformerConfig& config, std::optional<LoraOptions> lora,
                           bool train_base) {
  ModelSpec spec;
  spec.config = config;
  spec.lora = std::move(lora);
  const Trained trained{train_base, spec.lora ? &*spec.lora : nullptr};
  untie_if_trained_alone(spec, trained);
  const bool tied = spec.config.tie_word_embeddings;
  UnitSpec embedding{kEmbedding, {}, 1};
  spec.embedding_param = add(embedding, {"model.embed_tokens.weight",
                                         {config.vocab_size, config.hidden_size},
                                         tied ? ParamKind::kMatrix : ParamKind::kEmbedding,
                                         trained(kEmbedding) || (tied && trained(kHead)),
                                         true});
  spec.units.push_back(std::move(embedding));
  spec.chain.push_back({0, 0});
  std::optional<LoraTargets> targets;
  if (spec.lora) targets.emplace(*spec.lora);
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    spec.blocks.push_back(add_block(spec, layer, trained, targets ? &*targets : nullptr));
    spec.chain.push_back({static_cast<int>(layer) + 1, 0});
  }
  if (targets) targets->check_all_used(module_names(config));
  add_head(spec, trained);
  check_saved(spec);
  const int last = static_cast<int>(spec.chain.size()) - 1;
  spec.first_backward = last;
  for (int position = last; position >= 0; --position) {
    const ChainPosition& link = spec.chain[static_cast<size_t>(position)];
    if (trains(spec.units[static_cast<size_t>(link.unit)])) spec.first_backward = position;
  }
  return spec;
}

}  // namespace athanor

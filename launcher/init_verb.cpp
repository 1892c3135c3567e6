// athanor init: a commented config.yaml for a model folder, with settings that fit this machine.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>

#include "core/error.h"
#include "kernels/cpu/isa.h"
#include "launcher/fit.h"
#include "launcher/verbs.h"
#include "runtime/model/model_spec.h"
#include "runtime/train/auto_choice.h"
#include "runtime/train/figures.h"
#include "runtime/train/plan.h"

namespace athanor {
namespace {

constexpr int64_t kDefaultCutoff = 2048;

std::string rounded(int64_t parameters) {
  char text[32];
  const auto value = static_cast<double>(parameters);
  if (value >= 1e9) {
    std::snprintf(text, sizeof text, "%.1f billion", value / 1e9);
  } else {
    std::snprintf(text, sizeof text, "%.1f million", value / 1e6);
  }
  return text;
}

struct Fit {
  int64_t peak = 0;
  int64_t budget = 0;
  bool fits = false;
};

Fit plan_of(RunConfig config) {
  const Machine machine = this_host(config, {}, 1);
  PlanOptions options;
  options.threads = threads_per_rank(config, 1);
  decide_auto(config, options, machine);
  resolve_auto(config);
  const PlanResult plan = make_plan(config, options, machine);
  return {plan.host_peak_bytes(), plan.budget_bytes, plan.fits};
}

// The settings by which a first plan is made: the largest that fits.
RunConfig first_settings(const std::string& model, const TransformerConfig& shape, Fit& fit) {
  RunConfig config;
  config.model_name_or_path = model;
  config.lora_rank = 16;
  config.lora_alpha = 32;
  config.global_batch_size = 8;
  config.cutoff_len = std::min(kDefaultCutoff, shape.max_position_embeddings);
  config.bf16 = active_cpu_isa() == CpuIsa::kAvx512Bf16;
  fit = plan_of(config);
  if (!fit.fits && !config.bf16) {
    config.bf16 = true;
    fit = plan_of(config);
  }
  while (!fit.fits && config.cutoff_len > 256) {
    config.cutoff_len /= 2;
    fit = plan_of(config);
  }
  return config;
}

// A YAML string in single quotes.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("''") : std::string(1, c);
  return result + "'";
}

}  // namespace

int run_init(const InitArguments& arguments) {
  const TransformerConfig shape = load_transformer_config(arguments.model);
  const ModelSpec spec = build_model_spec(shape, std::nullopt, true);
  Fit fit;
  const RunConfig config = first_settings(arguments.model, shape, fit);
  std::string text;
  const auto line = [&](const std::string& setting, const std::string& comment) {
    text += setting;
    if (!comment.empty()) {
      text += std::string(setting.size() < 40 ? 40 - setting.size() : 1, ' ') + "# " + comment;
    }
    text += "\n";
  };
  text += "# A LoRA fine-tune of a " + shape.model_type + " of " + rounded(spec.parameters()) +
          " parameters, " + std::to_string(shape.num_hidden_layers) + " layers, made for " +
          std::to_string(shape.max_position_embeddings) + " positions.\n";
  text += "# Planned on this machine: " + binary_bytes(fit.peak) + " at peak of " +
          binary_bytes(fit.budget) +
          (fit.fits ? ".\n" : ", which does NOT fit: see `athanor plan`.\n");
  text += "# Set `dataset`, then: athanor plan config.yaml; athanor train config.yaml\n\n";
  line("model_name_or_path: " + quoted(arguments.model), "");
  line("stage: sft", "loss on the answers; pt: on all text");
  line("finetuning_type: lora", "full: all weights, several times the memory");
  line("lora_rank: " + std::to_string(config.lora_rank), "more learns more and costs more");
  line("lora_alpha: 32", "the adapter counts alpha / rank times");
  line("lora_target: all", "or a list of module names, or a regular expression");
  text += "\n";
  line("dataset: ./data.jsonl", "YOUR DATA: instruction/output, messages, or text a line");
  line("cutoff_len: " + std::to_string(config.cutoff_len), "longer samples are cut");
  line("packing: true", "several samples a row; attention stays inside each");
  line("val_size: 0.02", "kept apart for eval_loss");
  text += "\n";
  line("per_device_train_batch_size: 1", "rows at a time: the unit of memory");
  line("global_batch_size: 8", "rows a step, whatever the number of ranks");
  line("learning_rate: 1.0e-4", "for LoRA; a tenth of it for full");
  line("lr_scheduler_type: cosine", "");
  line("warmup_ratio: 0.03", "");
  line("num_train_epochs: 3", "max_steps: N wins over it");
  line(std::string("bf16: ") + (config.bf16 ? "true" : "false"),
       config.bf16 ? "half the memory of float32 activations and weights"
                   : "true halves the memory; this CPU computes float32 faster");
  line("gradient_checkpointing: auto", "none, selective, full: memory against time");
  text += "\n";
  line("logging_steps: 10", "");
  line("eval_steps: 100", "");
  line("save_steps: 100", "");
  line("seed: 42", "");
  line("output_dir: out", "");
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace athanor

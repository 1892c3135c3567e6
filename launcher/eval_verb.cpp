// athanor eval: loss and perplexity of a run's result on its evaluation data.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "core/cores.h"
#include "core/error.h"
#include "core/log.h"
#include "launcher/fit.h"
#include "launcher/verbs.h"
#include "runtime/io/peft.h"
#include "runtime/train/evaluate.h"
#include "runtime/train/run.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

// What the run has left takes the place of what it started from.
std::string choose_weights(RunConfig& config, bool base) {
  const fs::path output = config.output_dir;
  if (base) {
    config.adapter_name_or_path.clear();
    return config.model_name_or_path;
  }
  if (config.finetuning_type == FinetuningOption::kFull) {
    if (!output.empty() && fs::exists(output / "config.json")) config.model_name_or_path = output;
    return config.model_name_or_path;
  }
  if (!output.empty() && fs::exists(output / kPeftWeightsFile)) {
    config.adapter_name_or_path = output;
  }
  if (config.adapter_name_or_path.empty()) return config.model_name_or_path;
  return config.model_name_or_path + " with " + config.adapter_name_or_path;
}

}  // namespace

int run_eval(const EvalArguments& arguments) {
  RunConfig config = load_run_config(arguments.config, arguments.overrides, kTrainRequiredKeys);
  refuse_unimplemented(config);
  resolve_auto(config);
  config.ranks = 1;
  config.train_from_scratch = false;
  config.global_batch_size.reset();
  config.gradient_accumulation_steps.reset();
  config.numerics.lanes.reset();
  config.zero.stage = 0;
  const std::string model = choose_weights(config, arguments.base);
  // Nothing is trained: without an adapter to read there is nothing to add to the base.
  if (config.adapter_name_or_path.empty()) config.finetuning_type = FinetuningOption::kFull;
  const ResolvedRun run = resolve_run(config, 1);
  const RunData data = load_run_data(run, default_data_cache());
  const BatchSource& samples = data.eval ? *data.eval : data.train;
  log_info("eval: " + model + " on " + std::to_string(samples.samples()) + " samples" +
           (data.eval ? " kept apart by val_size" : ""));
  HostAllocator memory(Tier::kDevice);
  CpuDevice device(memory, threads_per_rank(config, 1));
  const Evaluation result = evaluate_model(run, samples, device, memory);
  std::string text;
  if (arguments.json) {
    text = nlohmann::ordered_json{{"model", config.model_name_or_path},
                                  {"adapter", config.adapter_name_or_path},
                                  {"held_out", data.eval.has_value()},
                                  {"samples", result.samples},
                                  {"tokens", result.tokens},
                                  {"target_tokens", result.target_tokens},
                                  {"loss", result.loss},
                                  {"perplexity", result.perplexity()}}
               .dump(2) +
           "\n";
  } else {
    char line[160];
    std::snprintf(line, sizeof line,
                  "loss %.6f  perplexity %.4f  (%lld samples, %lld of %lld "
                  "tokens count)\n",
                  result.loss, result.perplexity(), static_cast<long long>(result.samples),
                  static_cast<long long>(result.target_tokens),
                  static_cast<long long>(result.tokens));
    text = line;
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace athanor

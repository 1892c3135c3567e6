#include "runtime/train/output.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <vector>

#include "core/log.h"
#include "runtime/checkpoint/output_lock.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/peft.h"
#include "runtime/io/safetensors_writer.h"
#include "sharding/tier/disk_file.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxSmallFile = int64_t{256} << 20;
// Copied from the model's folder where they are there, so that the output can be used alone.
constexpr const char* kTokenizerFiles[] = {"tokenizer.json", "tokenizer_config.json",
                                           "special_tokens_map.json", "chat_template.jinja",
                                           "added_tokens.json"};

void copy_if_there(const fs::path& from, const fs::path& to, const char* name) {
  if (fs::is_regular_file(from / name)) {
    write_file_atomic(to / name, read_file(from / name, kMaxSmallFile));
  }
}

// The names of a trained parameter in an adapter: two where it is embedding and head.
std::vector<std::string> adapter_names(const ParamSpec& param, bool tied) {
  if (parse_peft_tensor_name(param.name)) return {param.name};
  std::vector<std::string> names{peft_saved_name(param.name)};
  if (tied && param.name == "model.embed_tokens.weight") {
    names.push_back(peft_saved_name("lm_head.weight"));
  }
  return names;
}

std::vector<TensorDecl> declare(const ModelSpec& spec, bool lora, DType dtype) {
  std::vector<TensorDecl> tensors;
  for (const UnitSpec& unit : spec.units) {
    for (const ParamSpec& param : unit.params) {
      if (!param.trainable) continue;
      TensorDecl tensor{param.name, lora ? DType::kF32 : dtype, {}};
      for (int axis = 0; axis < param.shape.rank(); ++axis) {
        tensor.shape.push_back(param.shape[axis]);
      }
      if (!lora) tensors.push_back(std::move(tensor));
      if (!lora) continue;
      for (const std::string& name : adapter_names(param, spec.config.tie_word_embeddings)) {
        tensor.name = name;
        tensors.push_back(tensor);
      }
    }
  }
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorDecl& a, const TensorDecl& b) { return a.name < b.name; });
  return tensors;
}

class AdapterSink final : public WeightSink {
 public:
  AdapterSink(SafetensorsWriter& writer, bool tied) : writer_(writer), tied_(tied) {}
  void write(const ParamSpec& param, const float* values) override {
    const std::span all(values, static_cast<size_t>(param.shape.numel()));
    for (const std::string& name : adapter_names(param, tied_)) {
      writer_.write(name, std::as_bytes(all));
    }
  }

 private:
  SafetensorsWriter& writer_;
  bool tied_;
};

class ModelSink final : public WeightSink {
 public:
  ModelSink(ShardedModelWriter& writer, DType dtype) : writer_(writer), dtype_(dtype) {}
  void write(const ParamSpec& param, const float* values) override {
    const auto count = static_cast<size_t>(param.shape.numel());
    if (dtype_ == DType::kF32) {
      writer_.write(param.name, std::as_bytes(std::span(values, count)));
      return;
    }
    cast_.resize(count);
    for (size_t i = 0; i < count; ++i) cast_[i] = to_bfloat16(values[i]);
    writer_.write(param.name, std::as_bytes(std::span(cast_)));
  }

 private:
  ShardedModelWriter& writer_;
  DType dtype_;
  std::vector<bfloat16> cast_;
};

PeftConfig adapter_config(const ResolvedRun& run) {
  const LoraOptions& lora = *run.spec.lora;
  PeftConfig config;
  config.base_model_name_or_path = run.config.model_name_or_path;
  config.r = lora.rank;
  config.lora_alpha = lora.alpha;
  config.lora_dropout = lora.dropout;
  config.use_rslora = lora.rslora;
  config.use_dora = lora.dora;
  config.modules_to_save = lora.saved;
  config.ensure_weight_tying = !lora.saved.empty() && run.spec.config.tie_word_embeddings &&
                               run.spec.units[0].params[0].trainable;
  config.rank_pattern = lora.rank_pattern;
  config.alpha_pattern = lora.alpha_pattern;
  config.target_modules = lora.targets;
  config.target_modules_is_pattern = lora.is_pattern;
  if (config.target_modules == std::vector<std::string>{"all"}) {
    config.target_modules.clear();
    for (int module = 0; module < kNumModules; ++module) {
      if (run.spec.blocks.at(0).weight[static_cast<size_t>(module)] < 0) continue;
      config.target_modules.emplace_back(module_name(static_cast<Module>(module)));
    }
  }
  return config;
}

}  // namespace

void write_model_config(const fs::path& model, const fs::path& output, std::optional<DType> dtype,
                        bool untied) {
  nlohmann::ordered_json json =
      nlohmann::ordered_json::parse(read_file(model / "config.json", kMaxSmallFile));
  if (dtype) json["torch_dtype"] = *dtype == DType::kF32 ? "float32" : "bfloat16";
  if (untied) json["tie_word_embeddings"] = false;
  write_file_atomic(output / "config.json", json.dump(2) + "\n");
  copy_if_there(model, output, "generation_config.json");
}

void copy_tokenizer_files(const fs::path& model, const fs::path& output) {
  for (const char* name : kTokenizerFiles) copy_if_there(model, output, name);
}

bool resumes_in_place(const RunConfig& config) {
  if (config.resume_from_checkpoint.empty()) return false;
  if (config.resume_from_checkpoint == "auto") return true;
  const fs::path from = fs::weakly_canonical(config.resume_from_checkpoint);
  const fs::path output = fs::weakly_canonical(config.output_dir);
  return from == output || from.parent_path() == output;
}

void check_output_folder(const RunConfig& config) {
  const fs::path folder = config.output_dir;
  std::error_code failed;
  const fs::file_status status = fs::status(folder, failed);
  if (status.type() == fs::file_type::not_found) return;
  check_not_in_use(folder);
  if (config.overwrite_output_dir) return;
  if (fs::exists(status) && !fs::is_directory(status)) {
    throw Error(ErrorKind::kConfig, "output_dir: " + folder.string() + " is not a folder");
  }
  if (resumes_in_place(config)) return;
  bool empty = !failed;
  for (fs::directory_iterator entry(folder, failed); !failed && entry != fs::directory_iterator();
       entry.increment(failed)) {
    // The launcher's logs come first; the lock stays behind.
    const fs::path name = entry->path().filename();
    if (name != kLogsFolder && name != kLockFile) empty = false;
  }
  if (failed) {
    throw Error(ErrorKind::kIo,
                "output_dir: cannot read " + folder.string() + ": " + failed.message());
  }
  if (!empty) {
    throw Error(ErrorKind::kConfig, "output_dir: " + folder.string() +
                                        " is not empty; set resume_from_checkpoint: auto or "
                                        "overwrite_output_dir: true, or name another folder");
  }
}

void check_disk_folder(const RunConfig& config) {
  const ZeroConfig& zero = config.zero;
  const auto options = {zero.offload_param, zero.offload_optimizer, zero.offload_activations};
  if (std::ranges::find(options, OffloadOption::kNvme) == options.end()) return;
  check_scratch_folder(zero.nvme_path);
  if (is_in_memory(zero.nvme_path)) {
    log_warning("zero.nvme_path: " + zero.nvme_path + " is in memory (tmpfs): what is offloaded " +
                "there takes memory of this host that no plan and no budget counts");
  }
}

void save_weights(Trainer& trainer, const ResolvedRun& run, bool writes) {
  if (!writes) {
    trainer.export_trained(nullptr);
    return;
  }
  const fs::path output = run.config.output_dir;
  const bool lora = run.spec.lora.has_value();
  const std::vector<TensorDecl> tensors = declare(run.spec, lora, run.trainer.dtype);
  if (lora) {
    SafetensorsWriter writer(output / kPeftWeightsFile, tensors);
    AdapterSink sink(writer, run.spec.config.tie_word_embeddings);
    trainer.export_trained(&sink);
    writer.commit();
    write_peft_config(output, adapter_config(run));
  } else {
    ShardedModelWriter writer(output, tensors);
    ModelSink sink(writer, run.trainer.dtype);
    trainer.export_trained(&sink);
    writer.commit();
    write_model_config(run.config.model_name_or_path, output, run.trainer.dtype, false);
  }
  copy_tokenizer_files(run.config.model_name_or_path, output);
}

}  // namespace athanor

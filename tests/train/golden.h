// The goldens of tests/golden as a test sees them: samples, the order in which they are trained,
// expected scalars and tensors, and the configuration that replays them.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "runtime/config/run_config.h"
#include "runtime/data/dataset.h"
#include "runtime/io/safetensors.h"
#include "runtime/train/session.h"
#include "runtime/train/step_batch.h"
#include "sharding/schedule.h"

namespace athanor::testing {

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

// Samples end to end without padding, as BatchSource lays them.
inline HostMicroBatch lay_out(const std::vector<Sample>& samples,
                              const std::vector<int64_t>& chosen) {
  MicroBatch batch;
  batch.cu_seqlens.push_back(0);
  for (const int64_t id : chosen) {
    const Sample& sample = samples[static_cast<size_t>(id)];
    const size_t length = sample.input_ids.size();
    for (size_t i = 0; i < length; ++i) {
      batch.input_ids.push_back(sample.input_ids[i]);
      batch.positions.push_back(static_cast<int32_t>(i));
      batch.targets.push_back(i + 1 < length ? sample.labels[i + 1] : kNoLoss);
      if (batch.targets.back() != kNoLoss) ++batch.target_tokens;
    }
    batch.cu_seqlens.push_back(static_cast<int32_t>(batch.input_ids.size()));
    batch.sample_ids.push_back(id);
  }
  return prepare_micro_batch(std::move(batch));
}

class Golden {
 public:
  explicit Golden(const std::string& name)
      : folder(std::filesystem::path(ATHANOR_GOLDEN_DIR) / name),
        expected(read_json(folder / "expected.json")),
        model(folder.parent_path() / expected.value("base", name)),
        tensors_(folder / "expected.safetensors") {
    std::ifstream data(model / "data.jsonl");
    for (std::string line; std::getline(data, line);) {
      const nlohmann::json record = nlohmann::json::parse(line);
      samples.push_back({record.at("input_ids"), record.at("labels")});
    }
  }

  std::vector<float> tensor(const std::string& name) const {
    const TensorEntry* entry = tensors_.find(name);
    ATHANOR_CHECK(entry != nullptr, "golden without " + name);
    std::vector<float> values(static_cast<size_t>(entry->elements()));
    tensors_.read(*entry, 0, std::as_writable_bytes(std::span(values)));
    return values;
  }

  // The configuration of expected.json's run `kind` ("lora" | "full"): two micro-batches of two
  // rows a step, whatever the world.
  RunConfig config(const std::string& kind) const {
    const nlohmann::json& optimizer = expected.at(kind).at("optimizer");
    RunConfig config;
    config.model_name_or_path = model;
    if (kind == "lora") config.adapter_name_or_path = folder / "adapter";
    config.finetuning_type = kind == "lora" ? FinetuningOption::kLora : FinetuningOption::kFull;
    config.cutoff_len = 24;
    config.per_device_train_batch_size = 2;
    config.global_batch_size = 4;
    config.learning_rate = optimizer.at("learning_rate");
    config.lr_scheduler_type = optimizer.at("lr_scheduler_type") == "linear"
                                   ? LrSchedulerOption::kLinear
                                   : LrSchedulerOption::kConstant;
    config.warmup_steps = optimizer.at("warmup_steps").get<int64_t>();
    config.weight_decay = optimizer.at("weight_decay");
    config.adam_beta1 = optimizer.at("adam_beta1");
    config.adam_beta2 = optimizer.at("adam_beta2");
    config.adam_epsilon = optimizer.at("adam_epsilon");
    config.max_grad_norm = optimizer.at("max_grad_norm");
    config.threads = 1;
    resolve_auto(config);
    return config;
  }

  // Step `step` as `rank` of the plan sees it.
  StepBatch step_batch(size_t step, const LanePlan& plan, int rank) const {
    const auto batches =
        expected.at("micro_batches").at(step).get<std::vector<std::vector<int64_t>>>();
    StepBatch batch;
    batch.micro_batches = static_cast<int64_t>(batches.size());
    for (const std::vector<int64_t>& chosen : batches) {
      batch.target_tokens += lay_out(samples, chosen).data.target_tokens;
    }
    batch.slots.resize(static_cast<size_t>(plan.slots()));
    for (int64_t slot = 0; slot < plan.slots(); ++slot) {
      const int64_t index = plan.micro_batch(rank, slot);
      if (index == kAbsent) continue;
      batch.slots[static_cast<size_t>(slot)] =
          lay_out(samples, batches[static_cast<size_t>(index)]);
    }
    return batch;
  }

  std::filesystem::path folder;
  nlohmann::json expected;
  std::filesystem::path model;  // another golden's folder where this one only has an adapter
  std::vector<Sample> samples;

 private:
  SafetensorsFile tensors_;
};

// ||got - want|| / ||want||, in float64.
inline double relative_distance(const float* got, const std::vector<float>& want) {
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double delta = static_cast<double>(got[i]) - static_cast<double>(want[i]);
    difference += delta * delta;
    norm += static_cast<double>(want[i]) * static_cast<double>(want[i]);
  }
  return std::sqrt(difference) / std::sqrt(norm);
}

inline double largest_distance(const float* got, const std::vector<float>& want) {
  double largest = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(got[i]) - want[i]));
  }
  return largest;
}

// Keeps what export_trained gives.
struct CollectedWeights final : WeightSink {
  void write(const ParamSpec& param, const float* values) override {
    weights[param.name] = std::vector<float>(values, values + param.shape.numel());
  }
  std::map<std::string, std::vector<float>> weights;
};

}  // namespace athanor::testing

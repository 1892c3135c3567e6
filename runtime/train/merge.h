// An adapter worked into its base: a model folder that needs no adapter any more.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/dtype.h"

namespace athanor {

struct MergeOptions {
  std::filesystem::path model;
  std::filesystem::path adapter;  // empty: the model is only written anew
  std::filesystem::path output;
  std::optional<DType> dtype;  // of floating tensors; absent: of each as it is
  int threads = 1;
};

struct MergeReport {
  int64_t tensors = 0;
  int64_t merged = 0;  // of them with an adapter
  std::vector<std::string> files;
};

// Writes weights, config.json, generation_config.json and tokenizer files. In float32, rounded once
// at the end:
//   W + scaling (B A)                          LoRA; the sum over the rank in ascending order
//   magnitude (W + scaling B A) / ||row||      DoRA (Liu et al., arXiv:2402.09353, as PEFT merges)
// Modules that the adapter trained whole replace those of the base. What the model's files hold
// beyond the model is copied. Memory: a few MiB of rows at a time. Then everything is read back and
// compared byte by byte: Error(kIo) with the tensor's name when it differs.
MergeReport merge_adapter(const MergeOptions& options);

// How far two models' logits are apart on the same token ids.
struct LogitComparison {
  int64_t positions = 0;
  double largest_difference = 0;
  double largest_logit = 0;  // in magnitude, of the first
  int64_t same_choice = 0;   // positions whose most likely token is the same
};

// On `tokens` pseudo-random ids, in float32: model with adapter against the merged folder.
LogitComparison compare_logits(const MergeOptions& options, int64_t tokens);

}  // namespace athanor

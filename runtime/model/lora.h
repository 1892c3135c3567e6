// LoRA as PEFT defines it: which linear layers get an adapter, of which rank and scaling.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace athanor {

struct LoraOptions {
  int64_t rank = 8;
  double alpha = 16;
  double dropout = 0;
  bool rslora = false;
  bool dora = false;                 // with a trained magnitude of every output
  std::vector<std::string> targets;  // module names, or one regular expression (is_pattern)
  bool is_pattern = false;
  // Regular expressions of the last components of a path, which win over rank and alpha; of several
  // that match, the first.
  std::vector<std::pair<std::string, int64_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;
  // Modules that train whole: ends of their paths, as PEFT's modules_to_save.
  std::vector<std::string> saved;
  bool tie_saved = true;     // embedding and head that are one matrix and both saved stay one
  std::string targets_from;  // file of an adapter; empty: the config's keys

  bool saves(const std::string& path) const;
  // What B A is multiplied with: alpha / rank, or alpha / sqrt(rank).
  float scaling(int64_t module_rank, double module_alpha) const;
};

// An adapter that is already there keeps its own shape.
LoraOptions read_lora_options(const std::filesystem::path& adapter);

// Matches as PEFT does: a name of `targets` is the last components of a module's path, a regular
// expression the whole path; a pattern of ranks or alphas may start after any dot. Expressions that
// do not compile are Error(kConfig), or kBadInput when an adapter's file has them.
class LoraTargets {
 public:
  struct Adapter {
    int64_t rank = 0;
    float scaling = 0;
  };

  explicit LoraTargets(const LoraOptions& options);
  ~LoraTargets();

  // nullopt: no adapter there.
  std::optional<Adapter> find(const std::string& path);
  // After all modules: a target that none has (or a pattern, unless a file has it) is an error,
  // which lists `names`.
  void check_all_used(const std::string& names) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace athanor

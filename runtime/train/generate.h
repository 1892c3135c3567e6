// Generation from a model folder, with or without an adapter: prompt, key/value cache, greedy or
// sampled.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/dtype.h"

namespace athanor {

struct GenerateOptions {
  std::filesystem::path model;
  std::filesystem::path adapter;  // empty: none
  int64_t max_new_tokens = 256;
  double temperature = 0;  // 0: greedy
  double top_p = 1;
  uint64_t seed = 42;
  int threads = 1;
  DType dtype = DType::kF32;
};

class Generator {
 public:
  // Reads the weights. `capacity`: longest prompt plus generation, in tokens.
  Generator(const GenerateOptions& options, int64_t capacity);
  ~Generator();

  // Calls on_token for each new id, which ends the generation by returning false; also ends at
  // max_new_tokens. A prompt that begins as the last text did, as in a conversation, is computed
  // from where they part; the results are the same.
  void generate(std::span<const int32_t> prompt, const std::function<bool(int32_t)>& on_token);

  // Logits [tokens, V] of a whole text in one pass, for checks.
  std::vector<float> logits(std::span<const int32_t> ids);
  int64_t vocab_size() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace athanor

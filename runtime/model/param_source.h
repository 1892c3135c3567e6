// Where initial values come from: a model folder, an adapter folder, or Philox. Each value is a
// pure function of (seed, parameter name, element), so that any rank can make any range.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "runtime/io/model_files.h"
#include "runtime/io/safetensors.h"
#include "runtime/model/transformer_config.h"
#include "sharding/param_spec.h"

namespace athanor {

struct ParamOrigins {
  const ModelFiles* base = nullptr;          // null: random weights (train_from_scratch)
  const SafetensorsFile* adapter = nullptr;  // null: fresh adapter
  uint64_t seed = 42;
  double initializer_range = 0.02;   // standard deviation of random matrices
  float norm_weight = 1;             // of random weights; 0 where norms add 1
  bool head_from_embedding = false;  // lm_head.weight begins as model.embed_tokens.weight
};

class ModelParamSource final : public ParamSource {
 public:
  explicit ModelParamSource(const ParamOrigins& origins) : origins_(origins) {}
  void read(const ParamSpec& param, int64_t begin, int64_t count, DType dtype, void* dst) override;
  std::optional<FileExtent> extent(const ParamSpec& param, int64_t begin, int64_t count,
                                   DType dtype) override;

  // Every parameter that must come from a file is there with the right shape; Error(kBadInput)
  // names tensor, found and needed. Adapter tensors that no parameter wants are errors, too.
  // Comes before read().
  void check(const std::vector<UnitSpec>& units);

 private:
  // The name under which the base has it.
  const std::string& base_name(const ParamSpec& param) const;
  bool in_adapter(const ParamSpec& param) const;
  float row_norm(const std::string& weight, int64_t row);

  ParamOrigins origins_;
  std::map<std::string, ParamSpec> matrices_;  // of the base
};

}  // namespace athanor

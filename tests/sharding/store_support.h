// A source of recognisable values that remembers what was read, and small units to store.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/dtype.h"
#include "sharding/param_spec.h"
#include "sharding/partition_table.h"
#include "sharding/zero_policy.h"

namespace athanor::testing {

class RecordingSource final : public ParamSource {
 public:
  // Small integers, exact in every floating dtype, and another sequence for each parameter.
  static float value(const std::string& name, int64_t element) {
    int64_t mixed = element * 31 + 7;
    for (const char c : name) mixed += int64_t{static_cast<unsigned char>(c)} * 17;
    return static_cast<float>(mixed % 241 - 120);
  }

  void read(const ParamSpec& param, int64_t begin, int64_t count, DType dtype, void* dst) override {
    for (int64_t i = 0; i < count; ++i) {
      const float element = value(param.name, begin + i);
      if (dtype == DType::kF32) {
        static_cast<float*>(dst)[i] = element;
      } else {
        static_cast<bfloat16*>(dst)[i] = to_bfloat16(element);
      }
    }
    std::lock_guard lock(mutex_);
    ranges_[param.name].emplace_back(begin, count);
    elements_ += count;
  }

  // (begin, count) by parameter, in the order of reading.
  const std::map<std::string, std::vector<std::pair<int64_t, int64_t>>>& ranges() const {
    return ranges_;
  }
  int64_t elements() const { return elements_; }

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<std::pair<int64_t, int64_t>>> ranges_;
  int64_t elements_ = 0;
};

// Three units with a frozen and a trainable part each, one without any frozen parameter.
inline std::vector<UnitSpec> test_units() {
  std::vector<UnitSpec> units;
  for (const std::string name : {"first", "second", "third"}) {
    UnitSpec unit;
    unit.name = name;
    if (name != "third") {
      unit.params.push_back({name + ".norm", {37}, ParamKind::kVector, false, false});
      unit.params.push_back({name + ".weight", {53, 41}, ParamKind::kMatrix, false, true});
    }
    unit.params.push_back({name + ".a", {4, 41}, ParamKind::kMatrix, true, true});
    unit.params.push_back({name + ".b", {530, 4}, ParamKind::kMatrix, true, true});
    units.push_back(unit);
  }
  return units;
}

inline std::vector<Placements> placements_of(const std::vector<UnitSpec>& units, int stage,
                                             int world) {
  return std::vector<Placements>(units.size(), zero_placements(stage, world, 1000, 0));
}

inline float element(ConstTensor tensor, int64_t i) {
  return tensor.dtype() == DType::kF32 ? tensor.data<float>()[i]
                                       : to_float(tensor.data<bfloat16>()[i]);
}

}  // namespace athanor::testing

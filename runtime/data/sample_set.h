// Many samples as a few long arrays, which may lie in memory or in a mapped file that processes
// share.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/data/dataset.h"

namespace athanor {

struct SampleView {
  std::span<const int32_t> input_ids;
  std::span<const int32_t> labels;  // as in Sample
  SampleOrigin origin;
};

// Labels that the loss sees: the first token is never predicted.
int64_t count_targets(std::span<const int32_t> labels);

// Copies share the arrays.
class SampleSet {
 public:
  // S samples of N tokens together.
  struct Arrays {
    std::span<const int64_t> offsets;  // [S+1] where samples begin, and N
    std::span<const int64_t> lines;    // [S]
    std::span<const int32_t> files;    // [S]
    std::span<const int32_t> ids;      // [N]
    std::span<const int32_t> labels;   // [N]
  };

  SampleSet() = default;
  explicit SampleSet(std::vector<Sample> samples);
  // `owner` keeps the arrays alive.
  SampleSet(const Arrays& arrays, std::shared_ptr<const void> owner)
      : arrays_(arrays), owner_(std::move(owner)) {}

  int64_t size() const { return static_cast<int64_t>(arrays_.files.size()); }
  int64_t tokens(int64_t index) const {
    return arrays_.offsets[static_cast<size_t>(index) + 1] -
           arrays_.offsets[static_cast<size_t>(index)];
  }
  SampleView operator[](int64_t index) const;
  const Arrays& arrays() const { return arrays_; }

 private:
  Arrays arrays_;
  std::shared_ptr<const void> owner_;
};

}  // namespace athanor

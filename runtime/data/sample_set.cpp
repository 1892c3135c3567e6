#include "runtime/data/sample_set.h"

#include <algorithm>

#include "core/error.h"

namespace athanor {
namespace {

struct Owned {
  std::vector<int64_t> offsets = {0};
  std::vector<int64_t> lines;
  std::vector<int32_t> files;
  std::vector<int32_t> ids;
  std::vector<int32_t> labels;
};

}  // namespace

int64_t count_targets(std::span<const int32_t> labels) {
  if (labels.empty()) return 0;
  return std::count_if(labels.begin() + 1, labels.end(),
                       [](int32_t label) { return label != kNoLoss; });
}

SampleSet::SampleSet(std::vector<Sample> samples) {
  auto owned = std::make_shared<Owned>();
  size_t tokens = 0;
  for (const Sample& sample : samples) tokens += sample.input_ids.size();
  owned->ids.reserve(tokens);
  owned->labels.reserve(tokens);
  for (Sample& sample : samples) {
    ATHANOR_CHECK(sample.labels.size() == sample.input_ids.size(),
                  "a sample has " + std::to_string(sample.input_ids.size()) + " tokens and " +
                      std::to_string(sample.labels.size()) + " labels");
    owned->ids.insert(owned->ids.end(), sample.input_ids.begin(), sample.input_ids.end());
    owned->labels.insert(owned->labels.end(), sample.labels.begin(), sample.labels.end());
    owned->offsets.push_back(static_cast<int64_t>(owned->ids.size()));
    owned->lines.push_back(sample.origin.line);
    owned->files.push_back(sample.origin.file);
    sample = Sample();  // its memory goes as the arrays grow
  }
  arrays_ = {owned->offsets, owned->lines, owned->files, owned->ids, owned->labels};
  owner_ = std::move(owned);
}

SampleView SampleSet::operator[](int64_t index) const {
  const auto i = static_cast<size_t>(index);
  const auto begin = static_cast<size_t>(arrays_.offsets[i]);
  const auto count = static_cast<size_t>(tokens(index));
  return {arrays_.ids.subspan(begin, count),
          arrays_.labels.subspan(begin, count),
          {arrays_.files[i], arrays_.lines[i]}};
}

}  // namespace athanor

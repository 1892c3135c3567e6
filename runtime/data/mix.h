// In which order the records of several data sets are trained. Internal to runtime/data.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/data/dataset.h"

namespace athanor {

struct MixedRecord {
  int64_t set = 0;
  int64_t record = 0;  // of the set
};

// kConfig when the probabilities do not fit the sets. `sizes`: records of each set; an empty one is
// kConfig unless sets are only put one after the other.
void check_mix(const DataOptions& options);
std::vector<MixedRecord> mix_records(const std::vector<int64_t>& sizes, const DataOptions& options);

}  // namespace athanor

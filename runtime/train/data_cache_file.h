// The file of the data cache. Layout, little-endian: the header of 128 bytes, then for training and
// evaluation offsets [S+1] and lines [S] (int64), files [S], ids [N] and labels [N] (int32), each
// padded to 8 bytes; then the report as JSON. Internal to runtime/train.
#pragma once

#include <filesystem>
#include <string>

#include "runtime/data/sample_set.h"

namespace athanor {

struct CachedData {
  SampleSet train;
  SampleSet eval;
  DatasetReport report;
};

// Error(kIo).
void write_cache_file(const std::filesystem::path& file, const std::string& key,
                      const SampleSet& train, const SampleSet& eval, const DatasetReport& report);

// Maps the file. Error(kIo) when it cannot be read, kBadInput when it is not what was written under
// this key: cut off, changed, of another layout.
CachedData read_cache_file(const std::filesystem::path& file, const std::string& key);

}  // namespace athanor

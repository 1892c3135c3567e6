// Tokenised data in a file that ranks and later runs map instead of tokenising again. A file is
// known by the hash of everything that decided it (data_inputs.h), written aside and renamed.
#pragma once

#include <filesystem>
#include <string>

#include "runtime/data/data_inputs.h"
#include "runtime/data/sample_set.h"

namespace athanor {

struct DataCache {
  std::filesystem::path folder;  // empty: nothing is kept
  bool rebuild = false;          // tokenise although there is a file
  int64_t keep_bytes = int64_t{32} << 30;
  int64_t keep_seconds = int64_t{30} * 24 * 3600;  // since a file was last used
};

struct CacheUse {
  enum class Kind { kOff, kHit, kMiss };
  Kind kind = Kind::kOff;
  std::filesystem::path file;  // empty when nothing was kept
};

struct PreparedData {
  SampleSet train;
  SampleSet eval;
  DatasetReport report;
  CacheUse cache;
};

// load_data() with the tokenizer of options.model_dir (none when there is no tokenizer.json), or
// its result from the cache; the same either way. Of several processes that miss the same file one
// tokenises, while the others wait for it; without a cache each does. A damaged file is made again
// and a folder that cannot be written is done without, with a warning.
PreparedData prepare_data(const DataOptions& options, int64_t vocab_size, const DataCache& cache,
                          int workers);

// 32 hexadecimal digits.
std::string data_key(const DataInputs& inputs);

}  // namespace athanor

// The manifest of a checkpoint: what was saved, where each tensor lies, and by what its files are
// known again. proto/checkpoint.proto has the same as a message; this is what the program works
// with, checked before any of it is believed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace athanor {

inline constexpr uint32_t kManifestVersion = 1;
inline constexpr char kManifestFile[] = "manifest.pb";
inline constexpr char kManifestJsonFile[] = "manifest.json";

struct FileRecord {
  std::string name;
  int64_t bytes = 0;
  std::string hash;  // XXH3-128
};

// Elements [begin, begin + count) of a tensor, in a shard.
struct TensorPiece {
  int file = 0;  // index into Manifest::files
  int64_t begin = 0;
  int64_t count = 0;
};

struct TensorLayout {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<TensorPiece> pieces;  // ascending, without gaps
  int64_t numel() const;
};

// What the log of a run needs in order to go on.
struct RunProgress {
  int64_t step = 0;  // steps done
  int64_t total_tokens = 0;
  double elapsed_seconds = 0;
  int64_t interval_steps = 0;  // since the last line of the log
  int64_t interval_skips = 0;  // of them, for numbers that were not finite
  int64_t interval_tokens = 0;
  double interval_loss = 0;
  double interval_seconds = 0;
  int64_t updates = 0;  // steps done without those that were skipped: the optimizer's count
};

// The next step's place in the data, and by what the data is known again.
struct DataPosition {
  int64_t epoch = 0;
  int64_t micro_batch = 0;
  int64_t micro_batches_per_epoch = 0;
  std::string digest;
};

// What decides the bits of a run besides its settings.
struct ManifestNumerics {
  int64_t seed = 0;
  int lanes = 1;
  std::string reduce;
  int64_t micro_batches = 1;
  int64_t rows_per_micro_batch = 1;
};

struct Manifest {
  std::string program_version;
  RunProgress progress;
  DataPosition data;
  ManifestNumerics numerics;
  int world_size = 1;
  int zero_stage = 0;
  std::string config;               // as in training_args.yaml
  std::vector<std::string> states;  // "master", then moments
  std::vector<FileRecord> files;    // shards in order of rank, then the others
  std::vector<TensorLayout> tensors;
  std::vector<FileRecord> base_files;
};

std::string manifest_bytes(const Manifest& manifest);
// `origin` begins messages. Error(kBadInput): another version, another hash, or a layout that
// contradicts itself.
Manifest parse_manifest(const std::string& bytes, const std::string& origin);
Manifest read_manifest(const std::filesystem::path& folder);

// For people; nothing reads it.
std::string manifest_json(const Manifest& manifest);

}  // namespace athanor

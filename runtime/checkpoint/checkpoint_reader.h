// CheckpointReader: the shards of one checkpoint, read by ranges, so that a rank of any world reads
// what it keeps and nothing else. CheckpointParamSource is how a run's stores see it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/checkpoint/manifest.h"
#include "runtime/io/safetensors.h"
#include "sharding/optimizer_state_store.h"
#include "sharding/param_spec.h"

namespace athanor {

// What is wrong with a file of a folder, with expected and found size or hash; empty: nothing.
std::string file_problem(const std::filesystem::path& folder, const FileRecord& record);
// Of all files of a checkpoint, manifest included, one line each.
std::vector<std::string> checkpoint_problems(const std::filesystem::path& folder);

class CheckpointReader final : public MomentSource {
 public:
  // Reads the manifest; shards open when they are needed.
  explicit CheckpointReader(std::filesystem::path folder);

  const Manifest& manifest() const { return manifest_; }
  const std::filesystem::path& folder() const { return folder_; }

  // Error(kConfig) unless the checkpoint has exactly the trained parameters of `units`, in their
  // shapes, with these moments.
  void check_layout(const std::vector<UnitSpec>& units, const MomentLayout& moments) const;

  // Elements [begin, begin + count) of a parameter's master.
  void read_master(const std::string& param, int64_t begin, int64_t count, float* dst) {
    read(param, 0, {.count = 1}, begin, count, dst);
  }
  void read_moment(const ParamSpec& param, int index, const MomentLayout& layout, int64_t begin,
                   int64_t count, void* dst) override {
    read(param.name, index + 1, layout, begin, count, dst);
  }
  // Bytes of tensors read so far.
  int64_t bytes_read() const;

 private:
  const SafetensorsFile& shard(int file);
  void read(const std::string& param, int state, const MomentLayout& layout, int64_t begin,
            int64_t count, void* dst);

  std::filesystem::path folder_;
  Manifest manifest_;
  std::unordered_map<std::string, size_t> tensors_;  // by name
  std::map<int, std::unique_ptr<SafetensorsFile>> shards_;
};

// Trained parameters from a checkpoint, frozen ones from where they came at first.
class CheckpointParamSource final : public ParamSource {
 public:
  CheckpointParamSource(CheckpointReader& checkpoint, ParamSource& base)
      : checkpoint_(checkpoint), base_(base) {}
  void read(const ParamSpec& param, int64_t begin, int64_t count, DType dtype, void* dst) override;
  std::optional<FileExtent> extent(const ParamSpec& param, int64_t begin, int64_t count,
                                   DType dtype) override;

 private:
  CheckpointReader& checkpoint_;
  ParamSource& base_;
};

}  // namespace athanor

// Writing .safetensors: one file streamed tensor by tensor, or a model folder cut into shards with
// an index, as transformers lays it out. Files appear under their names only at commit().
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/dtype.h"
#include "runtime/io/atomic_file.h"

namespace athanor {

struct TensorDecl {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;

  int64_t bytes() const;  // checked product
};

using SafetensorsMetadata = std::map<std::string, std::string>;

// What a file begins with: the length and the header, padded with spaces so that the data begins at
// a multiple of 8. Tensors lie in the given order, without padding between them.
std::string safetensors_header(const std::vector<TensorDecl>& tensors,
                               const SafetensorsMetadata& metadata);

class SafetensorsWriter {
 public:
  // Writes the header; tensors lie in the given order, without padding between them.
  SafetensorsWriter(std::filesystem::path path, const std::vector<TensorDecl>& tensors,
                    const SafetensorsMetadata& metadata = {{"format", "pt"}});

  // A whole tensor, in any order.
  void write(const std::string& name, std::span<const std::byte> bytes);
  // Bytes of a tensor from byte_begin on. Each byte is to be written once.
  void write_at(const std::string& name, int64_t byte_begin, std::span<const std::byte> bytes);
  // Throws kInternal when a tensor is not complete.
  void commit();

 private:
  struct Slot {
    int64_t file_offset = 0;
    int64_t bytes = 0;
    int64_t written = 0;
  };

  AtomicFile file_;
  std::unordered_map<std::string, Slot> slots_;
};

// A full model. What fits max_shard_bytes becomes model.safetensors; more becomes
// model-0000k-of-0000n.safetensors (cut greedily, in order) and model.safetensors.index.json.
class ShardedModelWriter {
 public:
  static constexpr int64_t kDefaultShardBytes = 5'000'000'000;  // the "5GB" of transformers

  ShardedModelWriter(const std::filesystem::path& folder, const std::vector<TensorDecl>& tensors,
                     int64_t max_shard_bytes = kDefaultShardBytes,
                     const SafetensorsMetadata& metadata = {{"format", "pt"}});

  void write(const std::string& name, std::span<const std::byte> bytes);
  void write_at(const std::string& name, int64_t byte_begin, std::span<const std::byte> bytes);
  // The shards, then the index, so that an index never names a file that is not there.
  void commit();

  // File names in order, for the caller's report.
  const std::vector<std::string>& files() const { return files_; }

 private:
  SafetensorsWriter& shard_of(const std::string& name);

  std::filesystem::path folder_;
  std::vector<std::string> files_;
  std::vector<std::unique_ptr<SafetensorsWriter>> shards_;
  std::map<std::string, size_t> shard_index_;
  int64_t total_bytes_ = 0;
};

}  // namespace athanor

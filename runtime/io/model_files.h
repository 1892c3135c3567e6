// The weights of a Hugging Face model folder: model.safetensors, or model.safetensors.index.json
// with its shards. Shards open when first asked for and stay open; reads are ranged and cast on the
// way, through a bounded staging buffer. Safe to use from several rank threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "runtime/io/safetensors.h"

namespace athanor {

struct TensorLocation {
  const SafetensorsFile* file = nullptr;
  const TensorEntry* entry = nullptr;

  explicit operator bool() const { return entry != nullptr; }
};

class ModelFiles {
 public:
  // Reads the index, if there is one, and checks that every shard it names is in the folder.
  explicit ModelFiles(const std::filesystem::path& folder);
  ~ModelFiles();

  // Opens the shard that holds `name`; {nullptr, nullptr} when no file of the model has it.
  TensorLocation find(const std::string& name) const;
  // As find; an absent tensor is Error(kBadInput).
  TensorLocation get(const std::string& name) const;
  // All tensors, sorted. Opens the file of a folder without index.
  std::vector<std::string> names() const;

  // destination[i] = cast(tensor[element_begin + i]), i < count. f32, bf16, f16 → f32, bf16 with
  // round to nearest even; any dtype to itself as plain bytes. Another pair is kBadInput.
  void read_elements(const std::string& name, int64_t element_begin, int64_t count,
                     DType destination_dtype, void* destination) const;

  // Tensor bytes read so far, over all files.
  int64_t data_bytes_read() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// destination[i] = cast(tensor[element_begin + i]), i < count, as ModelFiles::read_elements says.
void read_elements(const SafetensorsFile& file, const TensorEntry& entry, int64_t element_begin,
                   int64_t count, DType destination_dtype, void* destination);

// Throws Error(kBadInput) unless folder/name is a regular file that belongs to the folder: `name`
// is plain, and a symbolic link ends inside the folder or, in a hub cache
// (…/snapshots/REVISION/file → …/blobs/HASH), inside that cache's blobs. Returns folder/name.
std::filesystem::path checked_model_file(const std::filesystem::path& folder,
                                         const std::string& name);

}  // namespace athanor

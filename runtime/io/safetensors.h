// One .safetensors file: u64 LE header length, JSON header, tensor bytes. The header is checked in
// full before any of it is believed, so every range that comes out lies inside the file. Tensor
// bytes are read by ranged pread only. What is wrong with a file is Error(kBadInput).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/dtype.h"
#include "runtime/io/atomic_file.h"

namespace athanor {

// As the reference library: a longer header is an attack or not a safetensors file.
inline constexpr int64_t kMaxSafetensorsHeader = 100'000'000;

struct TensorEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  int64_t file_offset = 0;  // from the start of the file, any alignment
  int64_t bytes = 0;        // elements * dtype_size

  int64_t elements() const { return bytes / dtype_size(dtype); }
};

struct SafetensorsHeader {
  std::vector<TensorEntry> entries;  // by file_offset
  std::map<std::string, std::string> metadata;
};

// `json` is the header text, without its length; `data_begin` its end in the file. Pure, for the
// file class and for fuzzing. `origin` begins every message.
SafetensorsHeader parse_safetensors_header(std::string_view json, int64_t data_begin,
                                           int64_t file_size, const std::string& origin);

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::vector<TensorEntry>& entries() const { return header_.entries; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  // nullptr when absent.
  const TensorEntry* find(const std::string& name) const;

  // Bytes [byte_begin, byte_begin + destination.size()) of the tensor.
  void read(const TensorEntry& entry, int64_t byte_begin, std::span<std::byte> destination) const;

  // Tensor bytes read so far, without the header.
  int64_t data_bytes_read() const { return file_.bytes_read() - header_bytes_; }
  const std::filesystem::path& path() const { return file_.path(); }

 private:
  PositionedFile file_;
  int64_t header_bytes_ = 0;
  SafetensorsHeader header_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace athanor

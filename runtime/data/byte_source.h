// The bytes of a data file from its beginning to its end, decompressed when its name ends in .zst.
// Internal to runtime/data.
#pragma once

#include <filesystem>
#include <memory>
#include <span>

namespace athanor {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills `block` from its beginning; fewer bytes than it holds, or none, at the end of the file.
  // kIo when reading fails, kBadInput when the compressed form is broken.
  virtual size_t read(std::span<char> block) = 0;
};

std::unique_ptr<ByteSource> open_bytes(const std::filesystem::path& file);

}  // namespace athanor

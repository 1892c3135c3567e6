// A file of a checkpoint while it is written: its space is reserved first, its bytes are hashed on
// their way, and at the end it is synced. It lies in a folder that gets its name last, so the file
// itself needs no renaming.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/checkpoint/content_hash.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/io/atomic_file.h"

namespace athanor {

class HashedFile {
 public:
  // Creates or empties it; Error(kIo) when the disk has no room for `bytes`.
  HashedFile(std::filesystem::path path, int64_t bytes);

  void append(std::span<const std::byte> bytes);
  // Exactly `bytes` must have come.
  FileRecord finish();

 private:
  void write(std::span<const std::byte> bytes);
  void flush();

  std::filesystem::path path_;
  int64_t bytes_ = 0;
  int64_t written_ = 0;
  std::vector<std::byte> gathered_;  // small pieces on their way
  FileDescriptor fd_;
  ContentHash hash_;
};

FileRecord write_hashed_file(const std::filesystem::path& path, std::string_view content);

// fsync of a folder: its entries, not its files.
void sync_folder(const std::filesystem::path& folder);

}  // namespace athanor

// DiskTier: the disk's share of a rank's state. Stores reserve regions while they are built; open()
// then creates one preallocated, unnamed file for all of them. Transfers are closures on the
// storage stream, ordered against computation and communication by events like everything else; a
// plan counts them and never opens a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/buffer.h"
#include "core/stream.h"
#include "sharding/param_spec.h"
#include "sharding/tier/disk_file.h"

namespace athanor {

struct DiskRegion {
  int64_t offset = 0;  // a multiple of kDiskBlock
  int64_t bytes = 0;   // as asked for
  bool defined() const { return bytes > 0; }
};

struct TransferCount {
  int64_t count = 0;
  int64_t bytes = 0;
};

// What is moved, for messages: "cannot read parameters of model.layers.3". Texts that outlive the
// tier.
struct DiskLabel {
  const char* state = "state";
  const char* unit = "";  // may be empty
};

class DiskTier {
 public:
  static constexpr int64_t kDiskBlock = 4096;

  // `storage` may be null where nothing is placed on disk. `directory`: where the file goes.
  DiskTier(Allocator& device, Stream* storage, std::filesystem::path directory);
  ~DiskTier();

  // Before open(). A fresh region reads as zeros.
  DiskRegion reserve(int64_t bytes);
  int64_t reserved_bytes() const { return reserved_; }
  // Takes the memory of transfers and, unless `dry`, creates the file; Error(kIo) when the disk has
  // no room. Without reservations and without files read in place it does nothing.
  void open(bool dry);

  // On the storage stream. [from, from + bytes) of the region.
  void read(void* to, const DiskRegion& region, int64_t from, int64_t bytes,
            const DiskLabel& label);
  void write(const void* from, const DiskRegion& region, int64_t to, int64_t bytes,
             const DiskLabel& label);
  // Bytes of another file that hold a parameter as it is needed in memory.
  void read_in_place(void* to, const FileExtent& extent, const DiskLabel& label);
  // Before open(): a file that will be read in place; in a plan its path is empty. open() opens it,
  // since the engine belongs to the storage stream afterwards.
  void expect_file(const std::string& path) { expected_files_.insert(path); }

  Stream& stream() { return *storage_; }
  // Transfers so far.
  const TransferCount& reads() const { return reads_; }
  const TransferCount& writes() const { return writes_; }
  // For a log line, once open: how bytes are moved, and why not by io_uring; empty when nothing is
  // on disk.
  std::string how() const;

 private:
  DiskFile* scratch_in(const DiskRegion& region, int64_t at, int64_t bytes);
  void submit_read(DiskFile* file, void* to, int64_t offset, int64_t bytes, DiskLabel label);

  Allocator& device_;
  Stream* storage_;
  std::filesystem::path directory_;
  int64_t reserved_ = 0;
  std::set<std::string> expected_files_;
  TransferCount reads_;
  TransferCount writes_;
  Buffer dry_bounce_;  // a plan's stand-in for the engine's memory
  std::optional<DiskEngine> engine_;
  std::optional<DiskFile> scratch_;
  std::map<std::string, DiskFile> files_;  // by path
};

}  // namespace athanor

// DiskFile: a file that holds state of one rank, or a file of weights that is read in place.
// Calls block and are meant for the thread of an I/O stream; prefetching is the caller's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "sharding/tier/disk_engine.h"

namespace athanor {

struct DiskStats {
  int64_t bytes_read = 0;     // as asked for by callers
  int64_t bytes_written = 0;  // likewise
  int64_t bounced_bytes = 0;  // of both: copied once more, because something was not aligned
};

// Throws what DiskFile::scratch would throw for the folder itself, before there is work to lose.
void check_scratch_folder(const std::filesystem::path& directory);
// Whether the folder is on tmpfs or ramfs: what is written there is memory.
bool is_in_memory(const std::filesystem::path& directory);

// All files of an engine, and the engine, are used by one thread at a time; engines are independent
// of one another. An engine outlives its files. Everything throws Error kIo that a disk can cause.
class DiskFile {
 public:
  // A file without a name of `bytes` in `directory`, all of it reserved; gone with the process,
  // however that ends. What was never written reads as zeros.
  static DiskFile scratch(DiskEngine& engine, const std::filesystem::path& directory,
                          int64_t bytes);
  // A regular file, read only.
  static DiskFile existing(DiskEngine& engine, const std::filesystem::path& path);

  ~DiskFile();
  DiskFile(DiskFile&& other) noexcept;
  DiskFile& operator=(DiskFile&& other) noexcept;

  // Any offset, size and address of host memory. Fastest when offset, size and address are
  // multiples of alignment(); for reads it suffices that the address is off by as much as the
  // offset is. `what` names in errors what is moved ("weights of model.layers.3").
  void read(void* to, int64_t offset, int64_t bytes, std::string_view what);
  void write(const void* from, int64_t offset, int64_t bytes, std::string_view what);

  int64_t bytes() const { return bytes_; }
  bool direct() const { return alignment_.block > 1; }
  const DiskAlignment& alignment() const { return alignment_; }
  const DiskStats& stats() const { return stats_; }
  // For a log line: "io_uring, direct", "threads, buffered".
  std::string how() const;

 private:
  DiskFile(DiskEngine& engine, std::string name, int fd)
      : engine_(&engine), name_(std::move(name)), fd_(fd) {}
  void reserve(const std::filesystem::path& directory, int64_t bytes);
  void choose_direct();
  void write_back(const DiskRange& range, std::string_view what);
  void give_up_pages(const DiskRange& range);
  DiskRange range(int64_t offset, int64_t bytes, const char* verb, std::string_view what) const;
  void finish(const DiskOutcome& outcome, const DiskRange& range, const char* verb,
              std::string_view what);

  [[noreturn]] void throw_failed(const DiskRange& range, int64_t at, const char* verb,
                                 std::string_view what, const std::string& why) const;

  DiskEngine* engine_;
  std::string name_;  // in messages
  int fd_ = -1;
  bool writable_ = false;
  bool stacked_ = false;  // on overlayfs
  int64_t bytes_ = 0;
  DiskAlignment alignment_;
  DiskStats stats_;
};

}  // namespace athanor

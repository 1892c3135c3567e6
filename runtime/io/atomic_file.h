// The two doors to the file system: AtomicFile writes aside, syncs and renames, so that a reader
// sees the old file or the whole new one; PositionedFile reads ranges and counts what it read.
// Every failure is Error(kIo) with the path and the system's reason.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace athanor {

// Owns an open file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor() { reset(); }

  int get() const { return fd_; }
  int release();
  void reset();

 private:
  int fd_ = -1;
};

// A file that appears under its name only at commit(). Without commit the destructor removes it.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void append(std::span<const std::byte> bytes);
  void append(std::string_view text);
  // Does not move the end that append() writes at.
  void write_at(int64_t offset, std::span<const std::byte> bytes);
  // fsync, rename over the target, fsync of the folder. Nothing may be written afterwards.
  void commit();

  const std::filesystem::path& target() const { return target_; }

 private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  FileDescriptor fd_;
  int64_t end_ = 0;
};

// Throws what write_file_atomic would throw for the folder, before there is work to lose; leaves
// nothing.
void check_writable(const std::filesystem::path& path);
void write_file_atomic(const std::filesystem::path& path, std::string_view content);

// The whole file; refuses one larger than max_bytes (kBadInput) and anything but a regular file.
std::string read_file(const std::filesystem::path& path, int64_t max_bytes);

// A regular file open for reading at positions. Safe to use from several threads.
class PositionedFile {
 public:
  explicit PositionedFile(std::filesystem::path path);
  PositionedFile(const PositionedFile&) = delete;
  PositionedFile& operator=(const PositionedFile&) = delete;

  // Fills the span or throws; a file that ends too early is kIo.
  void pread_exact(int64_t offset, std::span<std::byte> destination) const;

  int64_t size() const { return size_; }
  // Bytes handed out so far: the proof that a rank does not read what it does not keep.
  int64_t bytes_read() const { return bytes_read_.load(std::memory_order_relaxed); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  FileDescriptor fd_;
  int64_t size_ = 0;
  mutable std::atomic<int64_t> bytes_read_ = 0;
};

}  // namespace athanor

#include "runtime/checkpoint/hashed_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "core/error.h"

namespace athanor {
namespace {

constexpr size_t kMaxTransfer = size_t{1} << 30;
constexpr size_t kGathered = size_t{64} << 10;

[[noreturn]] void throw_io(const std::filesystem::path& path, const std::string& what, int error) {
  throw Error(ErrorKind::kIo,
              path.string() + ": " + what + ": " + std::generic_category().message(error));
}

FileDescriptor open_file(const std::filesystem::path& path, int flags) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) throw_io(path, "cannot open", errno);
  return FileDescriptor(fd);
}

}  // namespace

HashedFile::HashedFile(std::filesystem::path path, int64_t bytes)
    : path_(std::move(path)), bytes_(bytes) {
  fd_ = open_file(path_, O_WRONLY | O_CREAT | O_TRUNC);
  if (bytes == 0) return;
  int error = 0;
  do {
    error = ::posix_fallocate(fd_.get(), 0, bytes);
  } while (error == EINTR);
  if (error != 0) throw_io(path_, "cannot reserve " + std::to_string(bytes) + " bytes", error);
}

// Adapters are thousands of small tensors: one call for each would cost more than their bytes.
void HashedFile::append(std::span<const std::byte> bytes) {
  hash_.add(bytes);
  if (gathered_.size() + bytes.size() > kGathered) flush();
  if (bytes.size() > kGathered) {
    write(bytes);
  } else {
    gathered_.insert(gathered_.end(), bytes.begin(), bytes.end());
  }
}

void HashedFile::flush() {
  write(gathered_);
  gathered_.clear();
}

void HashedFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count =
        ::pwrite(fd_.get(), bytes.data(), std::min(bytes.size(), kMaxTransfer), written_);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_io(path_, "cannot write", errno);
    if (count == 0) throw_io(path_, "cannot write", ENOSPC);
    bytes = bytes.subspan(static_cast<size_t>(count));
    written_ += count;
  }
}

FileRecord HashedFile::finish() {
  flush();
  ATHANOR_CHECK(written_ == bytes_, path_.string() + ": wrote " + std::to_string(written_) +
                                        " bytes of " + std::to_string(bytes_));
  if (::fsync(fd_.get()) != 0) throw_io(path_, "cannot sync", errno);
  // NFS and FUSE may report a failed write only here.
  if (::close(fd_.release()) != 0) throw_io(path_, "cannot close", errno);
  return {path_.filename().string(), bytes_, hash_.hex()};
}

FileRecord write_hashed_file(const std::filesystem::path& path, std::string_view content) {
  HashedFile file(path, std::ssize(content));
  file.append(std::as_bytes(std::span(content)));
  return file.finish();
}

void sync_folder(const std::filesystem::path& folder) {
  const FileDescriptor fd = open_file(folder, O_RDONLY | O_DIRECTORY);
  // Some file systems cannot sync folders and say so; that is no loss of data of ours.
  if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != ENOTSUP) {
    throw_io(folder, "cannot sync", errno);
  }
}

}  // namespace athanor

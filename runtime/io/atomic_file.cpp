// POSIX file calls with interrupted and short transfers handled in one place.
#include "runtime/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "core/error.h"

namespace athanor {
namespace {

// Linux transfers at most 2^31 - 4096 bytes a call.
constexpr int64_t kMaxTransfer = int64_t{1} << 30;

[[noreturn]] void throw_io(const std::filesystem::path& path, const char* what, int error_number) {
  throw Error(ErrorKind::kIo,
              path.string() + ": " + what + ": " + std::generic_category().message(error_number));
}

// `shown` is the path of the message.
FileDescriptor open_or_throw(const std::filesystem::path& path, int flags, const char* what,
                             const std::filesystem::path& shown) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) throw_io(shown, what, errno);
  return FileDescriptor(fd);
}

int64_t regular_file_size(int fd, const std::filesystem::path& path) {
  struct stat status = {};
  if (::fstat(fd, &status) != 0) throw_io(path, "cannot read its status", errno);
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::kIo, path.string() + ": cannot open: not a regular file");
  }
  return status.st_size;
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// Unique among the threads of this process and, by the process id, among processes of this host;
// O_EXCL catches what remains.
std::filesystem::path temporary_name(const std::filesystem::path& target) {
  static std::atomic<int64_t> counter = 0;
  return folder_of(target) /
         ("." + target.filename().string() + ".tmp-" + std::to_string(::getpid()) + "-" +
          std::to_string(counter.fetch_add(1)));
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

int FileDescriptor::release() { return std::exchange(fd_, -1); }

void FileDescriptor::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

AtomicFile::AtomicFile(std::filesystem::path target)
    : target_(std::move(target)), temporary_(temporary_name(target_)) {
  // O_EXCL also refuses a symbolic link that someone left under the temporary name.
  fd_ = open_or_throw(temporary_, O_WRONLY | O_CREAT | O_EXCL, "cannot create", target_);
}

AtomicFile::~AtomicFile() {
  if (fd_.get() < 0) return;
  fd_.reset();
  ::unlink(temporary_.c_str());
}

void AtomicFile::append(std::span<const std::byte> bytes) {
  write_at(end_, bytes);
  end_ += std::ssize(bytes);
}

void AtomicFile::append(std::string_view text) {
  append(std::as_bytes(std::span(text.data(), text.size())));
}

void AtomicFile::write_at(int64_t offset, std::span<const std::byte> bytes) {
  ATHANOR_CHECK(fd_.get() >= 0, target_.string() + ": written after commit");
  ATHANOR_CHECK(offset >= 0, target_.string() + ": negative offset");
  while (!bytes.empty()) {
    const size_t piece = std::min(bytes.size(), static_cast<size_t>(kMaxTransfer));
    const ssize_t written = ::pwrite(fd_.get(), bytes.data(), piece, offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_io(target_, "cannot write", errno);
    if (written == 0) throw_io(target_, "cannot write", ENOSPC);
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += written;
  }
}

void AtomicFile::commit() {
  ATHANOR_CHECK(fd_.get() >= 0, target_.string() + ": committed twice");
  if (::fsync(fd_.get()) != 0) throw_io(target_, "cannot sync", errno);
  // From here on the name is no longer ours to remove, so the descriptor goes after the rename.
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) throw_io(target_, "cannot rename", errno);
  // NFS and FUSE may report a failed write only here.
  if (::close(fd_.release()) != 0) throw_io(target_, "cannot close", errno);
  const FileDescriptor folder = open_or_throw(folder_of(target_), O_RDONLY | O_DIRECTORY,
                                              "cannot open to sync", folder_of(target_));
  // Some file systems cannot sync folders and say so; that is no loss of data of ours.
  if (::fsync(folder.get()) != 0 && errno != EINVAL && errno != ENOTSUP) {
    throw_io(folder_of(target_), "cannot sync", errno);
  }
}

void check_writable(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) throw_io(path, "cannot write", EISDIR);
  const AtomicFile trial(path);
}

void write_file_atomic(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.append(content);
  file.commit();
}

std::string read_file(const std::filesystem::path& path, int64_t max_bytes) {
  const PositionedFile file(path);
  if (file.size() > max_bytes) {
    throw Error(ErrorKind::kBadInput, path.string() + ": found " + std::to_string(file.size()) +
                                          " bytes, needed at most " + std::to_string(max_bytes));
  }
  std::string content(static_cast<size_t>(file.size()), '\0');
  file.pread_exact(0, std::as_writable_bytes(std::span(content)));
  return content;
}

PositionedFile::PositionedFile(std::filesystem::path path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a FIFO must fail below, not wait for a writer.
  fd_ = open_or_throw(path_, O_RDONLY | O_NONBLOCK, "cannot open", path_);
  size_ = regular_file_size(fd_.get(), path_);
}

void PositionedFile::pread_exact(int64_t offset, std::span<std::byte> destination) const {
  ATHANOR_CHECK(offset >= 0, path_.string() + ": negative offset");
  while (!destination.empty()) {
    const size_t piece = std::min(destination.size(), static_cast<size_t>(kMaxTransfer));
    const ssize_t count = ::pread(fd_.get(), destination.data(), piece, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_io(path_, "cannot read", errno);
    if (count == 0) {
      throw Error(ErrorKind::kIo, path_.string() + ": ends at byte " + std::to_string(offset) +
                                      ", needed " + std::to_string(destination.size()) +
                                      " more (cut off while in use?)");
    }
    bytes_read_.fetch_add(count, std::memory_order_relaxed);
    destination = destination.subspan(static_cast<size_t>(count));
    offset += count;
  }
}

}  // namespace athanor

// Opening, reserving and naming errors; DiskEngine moves the bytes.
#include "sharding/tier/disk_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <system_error>
#include <utility>

#include "core/error.h"

namespace athanor {
namespace {

// Where the kernel does not say: no disk in use has larger logical blocks, and pages are not
// smaller.
constexpr int64_t kUsualAlignment = 4096;
// So that sizes can be rounded up.
constexpr int64_t kMaxBytes = int64_t{1} << 62;

std::string text_of(int error_number) { return std::generic_category().message(error_number); }

[[noreturn]] void throw_io(const std::string& name, const std::string& what, int error_number) {
  throw Error(ErrorKind::kIo, name + ": " + what + ": " + text_of(error_number));
}

int open_file(const std::filesystem::path& path, int flags) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

// Returns -1 with errno set. The name, where one is needed, lives for two system calls.
int open_scratch(const std::filesystem::path& directory, bool unnamed) {
  if (unnamed) {
    const int fd = open_file(directory, O_TMPFILE | O_RDWR | O_EXCL);
    // What file systems and kernels without O_TMPFILE answer.
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return fd;
  }
  std::string name = (directory / ".athanor-scratch-XXXXXX").string();
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd >= 0 && ::unlink(name.c_str()) != 0) {
    const int error_number = errno;
    ::close(fd);
    errno = error_number;
    return -1;
  }
  return fd;
}

[[noreturn]] void throw_scratch(const std::filesystem::path& directory) {
  throw_io(directory.string(), "cannot make a scratch file in this folder", errno);
}

// What direct I/O needs of this file; block 1 where it cannot be used.
DiskAlignment direct_alignment(int fd) {
  struct statx status = {};
  DiskAlignment alignment{kUsualAlignment, kUsualAlignment};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
      (status.stx_mask & STATX_DIOALIGN) != 0) {
    const int64_t memory = status.stx_dio_mem_align;
    alignment = {std::max<int64_t>(status.stx_dio_offset_align, memory), memory};
  }
  const bool usable = alignment.memory > 0 && alignment.memory <= DiskEngine::kMaxMemoryAlignment &&
                      alignment.block > 1 && alignment.block <= DiskEngine::kMaxBlock &&
                      std::has_single_bit(static_cast<uint64_t>(alignment.memory)) &&
                      std::has_single_bit(static_cast<uint64_t>(alignment.block));
  return usable ? alignment : DiskAlignment{};
}

// Its magic number; 0 where that cannot be told.
int64_t file_system_of(int fd) {
  struct statfs status = {};
  return ::fstatfs(fd, &status) == 0 ? static_cast<int64_t>(status.f_type) : 0;
}

bool set_direct(int fd, bool direct) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && ::fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

}  // namespace

void check_scratch_folder(const std::filesystem::path& directory) {
  const int fd = open_scratch(directory, true);
  if (fd < 0) throw_scratch(directory);
  ::close(fd);
}

bool is_in_memory(const std::filesystem::path& directory) {
  const int fd = open_file(directory, O_PATH);
  if (fd < 0) return false;
  const int64_t kind = file_system_of(fd);
  ::close(fd);
  return kind == TMPFS_MAGIC || kind == RAMFS_MAGIC;
}

DiskFile DiskFile::scratch(DiskEngine& engine, const std::filesystem::path& directory,
                           int64_t bytes) {
  ATHANOR_CHECK(bytes >= 0 && bytes <= kMaxBytes, "size " + std::to_string(bytes));
  const int fd = open_scratch(directory, engine.options().unnamed);
  if (fd < 0) throw_scratch(directory);
  DiskFile file(engine, directory.string() + ": scratch file", fd);
  file.writable_ = true;
  file.stacked_ = file_system_of(fd) == OVERLAYFS_SUPER_MAGIC;
  file.bytes_ = bytes;
  file.reserve(directory, align_up(bytes, DiskEngine::kMaxBlock));
  file.choose_direct();
  return file;
}

DiskFile DiskFile::existing(DiskEngine& engine, const std::filesystem::path& path) {
  // Without O_NONBLOCK a named pipe would wait for a writer; regular files do not look at it.
  const int fd = open_file(path, O_RDONLY | O_NONBLOCK);
  if (fd < 0) throw_io(path.string(), "cannot open", errno);
  DiskFile file(engine, path.string(), fd);
  struct stat status = {};
  if (::fstat(fd, &status) != 0) throw_io(file.name_, "cannot read its status", errno);
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::kIo, file.name_ + ": cannot open: not a regular file");
  }
  // io_uring takes the flag as leave to answer EAGAIN.
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0) {
    throw_io(file.name_, "cannot set its flags", errno);
  }
  file.bytes_ = status.st_size;
  file.choose_direct();
  return file;
}

DiskFile::~DiskFile() {
  if (fd_ >= 0) ::close(fd_);
}

DiskFile::DiskFile(DiskFile&& other) noexcept
    : engine_(other.engine_),
      name_(std::move(other.name_)),
      fd_(std::exchange(other.fd_, -1)),
      writable_(other.writable_),
      stacked_(other.stacked_),
      bytes_(other.bytes_),
      alignment_(other.alignment_),
      stats_(other.stats_) {}

DiskFile& DiskFile::operator=(DiskFile&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    engine_ = other.engine_;
    name_ = std::move(other.name_);
    fd_ = std::exchange(other.fd_, -1);
    writable_ = other.writable_;
    stacked_ = other.stacked_;
    bytes_ = other.bytes_;
    alignment_ = other.alignment_;
    stats_ = other.stats_;
  }
  return *this;
}

// Asks for the free space first: a file system may fill up for minutes before it says no.
void DiskFile::reserve(const std::filesystem::path& directory, int64_t bytes) {
  struct statvfs status = {};
  if (::fstatvfs(fd_, &status) != 0) throw_io(name_, "cannot read the free space", errno);
  const auto unit = std::max<uint64_t>(status.f_frsize, 1);
  const auto most = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  const auto free = static_cast<int64_t>(std::min<uint64_t>(status.f_bavail, most / unit) * unit);
  const bool limited = status.f_blocks > 0;  // a tmpfs without a limit says 0 blocks
  const auto does_not_fit = [&](const std::string& why) {
    throw Error(ErrorKind::kIo, directory.string() + ": scratch file needs " +
                                    std::to_string(bytes) + " bytes, " + std::to_string(free) +
                                    " are free" + why);
  };
  if (limited && free < bytes) does_not_fit("");
  if (bytes == 0) return;
  int error_number = 0;
  do {
    error_number = ::posix_fallocate(fd_, 0, bytes);
  } while (error_number == EINTR);
  if (error_number != 0) does_not_fit(": " + text_of(error_number));
}

// Some file systems take the flag and refuse the first transfer, so one block is read.
void DiskFile::choose_direct() {
  if (engine_->options().direct == DiskOptions::Direct::kOff) return;
  const DiskAlignment alignment = direct_alignment(fd_);
  if (alignment.block == 1 || !set_direct(fd_, true)) return;
  if (engine_->accepts(fd_, alignment)) {
    alignment_ = alignment;
  } else if (!set_direct(fd_, false)) {
    throw_io(name_, "cannot switch O_DIRECT off", errno);
  }
}

std::string DiskFile::how() const {
  return std::string(engine_->backend()) + (direct() ? ", direct" : ", buffered");
}

DiskRange DiskFile::range(int64_t offset, int64_t bytes, const char* verb,
                          std::string_view what) const {
  ATHANOR_CHECK(offset >= 0 && bytes >= 0, "a range of a file has no negative numbers");
  if (bytes > bytes_ || offset > bytes_ - bytes) {
    throw Error(ErrorKind::kIo, name_ + ": cannot " + verb + " " + std::string(what) + ": " +
                                    std::to_string(bytes) + " bytes at byte " +
                                    std::to_string(offset) + ", the file has " +
                                    std::to_string(bytes_));
  }
  return {fd_, alignment_, offset, bytes};
}

void DiskFile::read(void* to, int64_t offset, int64_t bytes, std::string_view what) {
  const DiskRange range = this->range(offset, bytes, "read", what);
  if (bytes == 0) return;
  finish(engine_->read(range, static_cast<std::byte*>(to)), range, "read", what);
  if (!direct()) give_up_pages(range);
  stats_.bytes_read += bytes;
}

void DiskFile::write(const void* from, int64_t offset, int64_t bytes, std::string_view what) {
  ATHANOR_CHECK(writable_, name_ + ": is read only");
  const DiskRange range = this->range(offset, bytes, "write", what);
  if (bytes == 0) return;
  finish(engine_->write(range, static_cast<const std::byte*>(from)), range, "write", what);
  if (!direct()) {
    write_back(range, what);
    give_up_pages(range);
  }
  stats_.bytes_written += bytes;
}

void DiskFile::finish(const DiskOutcome& outcome, const DiskRange& range, const char* verb,
                      std::string_view what) {
  if (!outcome.ok()) {
    const bool ends = outcome.error_number == DiskOutcome::kEndOfFile;
    throw_failed(range, outcome.offset, verb, what,
                 ends ? "the file ends" : text_of(outcome.error_number));
  }
  stats_.bounced_bytes += outcome.bounced_bytes;
}

// Dirty pages to the disk: an error of the disk is told to this call, later it may be nobody's.
void DiskFile::write_back(const DiskRange& range, std::string_view what) {
  constexpr unsigned kAll =
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  // overlayfs has its pages in another file, which a call for a range does not reach.
  bool whole_file = stacked_;
  int error_number = 0;
  do {
    const int result =
        whole_file ? ::fdatasync(fd_) : ::sync_file_range(fd_, range.offset, range.bytes, kAll);
    error_number = result == 0 ? 0 : errno;
    if (error_number == ENOSYS && !whole_file) {
      whole_file = true;
      error_number = EINTR;
    }
  } while (error_number == EINTR);
  if (error_number != 0) throw_failed(range, range.offset, "write", what, text_of(error_number));
}

// The state is on disk because memory is short, so its pages must not stay there. Widened, as the
// kernel leaves a page that is named in part.
void DiskFile::give_up_pages(const DiskRange& range) {
  const int64_t begin = range.offset / kUsualAlignment * kUsualAlignment;
  const int64_t end = align_up(range.offset + range.bytes, kUsualAlignment);
  ::posix_fadvise(fd_, begin, end - begin, POSIX_FADV_DONTNEED);
}

void DiskFile::throw_failed(const DiskRange& range, int64_t at, const char* verb,
                            std::string_view what, const std::string& why) const {
  throw Error(ErrorKind::kIo, name_ + ": cannot " + verb + " " + std::string(what) + " (" +
                                  std::to_string(range.bytes) + " bytes at byte " +
                                  std::to_string(range.offset) + "): at byte " +
                                  std::to_string(at) + ": " + why);
}

}  // namespace athanor

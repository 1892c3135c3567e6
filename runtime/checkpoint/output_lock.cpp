#include "runtime/checkpoint/output_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>

#include "core/error.h"
#include "runtime/io/strict_json.h"

namespace athanor {
namespace {

// False when another process has it. File systems without locks (ENOLCK) cannot tell.
bool take(int fd) {
  int result = 0;
  do {
    result = ::flock(fd, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  return result == 0 || errno != EWOULDBLOCK;
}

[[noreturn]] void refuse(const std::filesystem::path& output, int fd) {
  std::array<char, 128> owner = {};
  const ssize_t count = ::pread(fd, owner.data(), owner.size() - 1, 0);
  std::string who(owner.data(), count > 0 ? static_cast<size_t>(count) : 0);
  if (!who.empty() && who.back() == '\n') who.pop_back();
  throw Error(ErrorKind::kConfig, "output_dir: " + output.string() + " is in use by another run (" +
                                      in_quotes(who) + "); wait for it or name another folder");
}

}  // namespace

OutputLock::OutputLock(const std::filesystem::path& output) {
  const std::filesystem::path path = output / kLockFile;
  fd_ = FileDescriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (fd_.get() < 0) {
    throw Error(ErrorKind::kIo,
                path.string() + ": cannot open: " + std::generic_category().message(errno));
  }
  if (!take(fd_.get())) refuse(output, fd_.get());
  std::array<char, 64> host = {};
  ::gethostname(host.data(), host.size() - 1);
  const std::string owner = "process " + std::to_string(::getpid()) + " on " + host.data() + "\n";
  // Only for the message of the one who is refused.
  if (::ftruncate(fd_.get(), 0) != 0 ||
      ::pwrite(fd_.get(), owner.data(), owner.size(), 0) != std::ssize(owner)) {
    throw Error(ErrorKind::kIo,
                path.string() + ": cannot write: " + std::generic_category().message(errno));
  }
}

void check_not_in_use(const std::filesystem::path& output) {
  const FileDescriptor fd(::open((output / kLockFile).c_str(), O_RDWR | O_CLOEXEC));
  if (fd.get() >= 0 && !take(fd.get())) refuse(output, fd.get());
}

}  // namespace athanor

// One run at a time writes into an output folder. The lock is the kernel's (flock), so it is gone
// with the process, however that ends; the file stays and says who has it or had it last.
#pragma once

#include <filesystem>

#include "runtime/io/atomic_file.h"

namespace athanor {

inline constexpr char kLockFile[] = ".athanor.lock";

class OutputLock {
 public:
  // The folder exists. Error(kConfig) when another run has it.
  explicit OutputLock(const std::filesystem::path& output);

 private:
  FileDescriptor fd_;
};

// Error(kConfig) when a run is using the folder; it need not exist.
void check_not_in_use(const std::filesystem::path& output);

}  // namespace athanor

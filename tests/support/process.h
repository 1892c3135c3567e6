// Programs as tests see them: started with files for their streams, waited for with a deadline,
// sent signals. A child leads a process group of its own, which is killed when it overstays, so
// that mpirun and its ranks go together.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/temp_folder.h"

namespace athanor::testing {

struct ProcessOptions {
  std::vector<std::string> environment;  // NAME=value, added to this process's
  std::string input;                     // standard input
};

struct ProcessResult {
  int exit_code = -1;  // 128 + signal when a signal ended it
  bool timed_out = false;
  std::string out;
  std::string err;
  double seconds = 0;
  int64_t peak_bytes = 0;  // resident, of the process itself
};

class ChildProcess {
 public:
  explicit ChildProcess(const std::vector<std::string>& command,
                        const ProcessOptions& options = {});
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  // Process ids of the direct children.
  std::vector<pid_t> children() const;
  // To this process alone; false when it has ended.
  bool send(int signal) const;
  bool running();
  ProcessResult wait(std::chrono::seconds limit);

 private:
  // Waits, with WNOHANG in `flags` only if it has ended; false when it has not.
  bool reap(int flags);

  TempFolder streams_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int exit_code_ = -1;
  int64_t peak_bytes_ = 0;
  std::chrono::steady_clock::time_point start_;
};

// Starts, waits, kills after `limit`.
ProcessResult run_process(const std::vector<std::string>& command,
                          const ProcessOptions& options = {},
                          std::chrono::seconds limit = std::chrono::seconds(60));

// `mpirun -np N`, as root and on fewer cores than ranks, and the environment for it.
std::vector<std::string> mpirun_command(int ranks, const std::vector<std::string>& command);
std::vector<std::string> mpirun_environment();
// Empty, or why mpirun cannot be used.
std::string mpirun_missing();

std::string slurp(const std::filesystem::path& path);
void spill(const std::filesystem::path& path, const std::string& text);

}  // namespace athanor::testing

#include "tests/support/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

extern char** environ;

namespace athanor::testing {
namespace {

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// What is added replaces what this process has under the same name.
std::vector<std::string> merged_environment(const std::vector<std::string>& added) {
  std::vector<std::string> result = added;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string own = *entry;
    const std::string name = own.substr(0, own.find('=') + 1);
    const bool replaced = std::ranges::any_of(
        added, [&](const std::string& setting) { return setting.starts_with(name); });
    if (!replaced) result.push_back(own);
  }
  return result;
}

// LeakSanitizer knows what Open MPI never frees by complete stacks only, and those take ten times
// the time of everything else, so that no other process unwinds like this.
std::string unwinding_completely() {
  const char* own = std::getenv("ASAN_OPTIONS");
  return "ASAN_OPTIONS=" + std::string(own == nullptr ? "" : own) + ":fast_unwind_on_malloc=0";
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command, const ProcessOptions& options)
    : start_(std::chrono::steady_clock::now()) {
  spill(streams_ / "in", options.input);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  const std::string in = streams_ / "in";
  const std::string out = streams_ / "out";
  const std::string err = streams_ / "err";
  constexpr int kWrite = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&files, 0, in.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, out.c_str(), kWrite, 0600);
  posix_spawn_file_actions_addopen(&files, 2, err.c_str(), kWrite, 0600);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  std::vector<std::string> arguments = command;
  std::vector<std::string> added = options.environment;
  // The cache of tokenised data of whoever runs the tests is none of their business.
  added.push_back("XDG_CACHE_HOME=" + (streams_ / "cache").string());
  std::vector<std::string> environment = merged_environment(added);
  const int code = posix_spawnp(&pid_, command.at(0).c_str(), &files, &attributes,
                                pointers(arguments).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) throw std::runtime_error(command[0] + ": " + std::strerror(code));
}

ChildProcess::~ChildProcess() {
  if (ended_) return;
  ::kill(-pid_, SIGKILL);
  reap(0);
}

std::vector<pid_t> ChildProcess::children() const {
  std::vector<pid_t> result;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    // "pid (name) state parent ..."; the name may hold anything.
    const std::string stat = slurp(entry.path() / "stat");
    const size_t name_end = stat.rfind(')');
    if (name_end == std::string::npos) continue;
    char state = 0;
    pid_t parent = 0;
    std::istringstream(stat.substr(name_end + 1)) >> state >> parent;
    if (parent == pid_) result.push_back(std::stoi(stat));
  }
  std::sort(result.begin(), result.end());
  return result;
}

bool ChildProcess::send(int signal) const { return !ended_ && ::kill(pid_, signal) == 0; }

bool ChildProcess::reap(int flags) {
  int status = 0;
  struct rusage usage = {};
  if (::wait4(pid_, &status, flags, &usage) != pid_) return false;
  ended_ = true;
  peak_bytes_ = int64_t{usage.ru_maxrss} * 1024;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return true;
}

bool ChildProcess::running() {
  if (!ended_) reap(WNOHANG);
  return !ended_;
}

ProcessResult ChildProcess::wait(std::chrono::seconds limit) {
  ProcessResult result;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (running() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (running()) {
    result.timed_out = true;
    ::kill(-pid_, SIGKILL);
    reap(0);
  }
  result.exit_code = exit_code_;
  result.peak_bytes = peak_bytes_;
  result.out = slurp(streams_ / "out");
  result.err = slurp(streams_ / "err");
  const auto elapsed = std::chrono::steady_clock::now() - start_;
  result.seconds = std::chrono::duration<double>(elapsed).count();
  return result;
}

ProcessResult run_process(const std::vector<std::string>& command, const ProcessOptions& options,
                          std::chrono::seconds limit) {
  return ChildProcess(command, options).wait(limit);
}

std::vector<std::string> mpirun_command(int ranks, const std::vector<std::string>& command) {
  std::vector<std::string> result = {"mpirun", "-np", std::to_string(ranks)};
  result.insert(result.end(), command.begin(), command.end());
  return result;
}

std::vector<std::string> mpirun_environment() {
  return {"OMPI_ALLOW_RUN_AS_ROOT=1",
          "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
          "OMPI_MCA_rmaps_base_oversubscribe=1",
          "OMPI_MCA_hwloc_base_binding_policy=none",
          "OMPI_MCA_btl_vader_single_copy_mechanism=none",
          "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe",
          unwinding_completely()};
}

std::string mpirun_missing() {
  if (!ATHANOR_TEST_MPI) return "this build has no MPI (ATHANOR_MPI)";
  try {
    const ProcessOptions options{mpirun_environment(), ""};
    const ProcessResult result = run_process({"mpirun", "--version"}, options);
    return result.exit_code == 0 ? "" : "mpirun --version failed: " + result.err;
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void spill(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace athanor::testing

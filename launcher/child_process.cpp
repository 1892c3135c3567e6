#include "launcher/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "core/error.h"

namespace athanor {
namespace {

constexpr int kExecFailed = 127;  // as shells say it

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

void close_if_open(int file) {
  if (file >= 0) ::close(file);
}

void say(std::string_view text) {
  // Nothing can be done about a failure here.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

struct Prepared {
  char* const* arguments;
  char* const* environment;
  const int* sockets;
  size_t socket_count;
  int input;
  int log;  // -1: inherited
  int death_signal;
  bool keep_blocked;
  pid_t parent;
};

// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(const Prepared& self) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, self.death_signal);
  if (::getppid() != self.parent) ::_exit(kExecFailed);  // it was gone before the line above
  if (!self.keep_blocked) {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
  }
  ::dup2(self.input, STDIN_FILENO);
  if (self.log >= 0) {
    ::dup2(self.log, STDOUT_FILENO);
    ::dup2(self.log, STDERR_FILENO);
  }
  for (size_t i = 0; i < self.socket_count; ++i) {
    if (self.sockets[i] >= 0) ::fcntl(self.sockets[i], F_SETFD, 0);  // no longer close-on-exec
  }
  ::execvpe(self.arguments[0], self.arguments, self.environment);
  say(self.arguments[0]);
  say(": cannot be started: ");
  say(::strerrordesc_np(errno));
  say("\n");
  ::_exit(kExecFailed);
}

}  // namespace

pid_t start_child(const ChildStart& start) {
  std::vector<std::string> command = start.command;
  std::vector<std::string> environment = start.environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  const std::vector<char*> arguments = pointers(command);
  const std::vector<char*> variables = pointers(environment);
  int log = -1;
  if (!start.log.empty()) {
    log = ::open(start.log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0) {
      throw Error(ErrorKind::kIo, start.log.string() + ": " + std::strerror(errno));
    }
  }
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const Prepared prepared{arguments.data(),
                          variables.data(),
                          start.sockets.data(),
                          start.sockets.size(),
                          input,
                          log,
                          start.death_signal,
                          start.keep_blocked,
                          ::getpid()};
  const pid_t child = input < 0 ? -1 : ::fork();
  if (child == 0) become(prepared);
  const int failure = errno;
  close_if_open(input);
  close_if_open(log);
  if (child < 0) {
    throw Error(ErrorKind::kIo, "cannot start a process: " + std::string(std::strerror(failure)));
  }
  ::setpgid(child, child);  // both sides do it, so that it is done when either goes on
  return child;
}

std::string own_program() { return std::filesystem::read_symlink("/proc/self/exe"); }

}  // namespace athanor

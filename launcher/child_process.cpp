#include "launcher/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

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

struct Prepared {
  char* const* arguments;
  char* const* environment;
  const int* sockets;
  size_t socket_count;
  int input;
  int log;      // -1: inherited
  int failure;  // the errno of an exec that failed goes here; exec closes it
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
  const int failure = errno;
  // Nothing can be done about a failure here.
  [[maybe_unused]] const ssize_t written = ::write(self.failure, &failure, sizeof failure);
  ::_exit(kExecFailed);
}

// The errno of a child that could not become its program; 0 once it has.
int wait_for_exec(int pipe) {
  int failure = 0;
  ssize_t got = 0;
  do {
    got = ::read(pipe, &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  return got == static_cast<ssize_t>(sizeof failure) ? failure : 0;
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
    log = ::open(start.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0) {
      throw Error(ErrorKind::kIo, start.log.string() + ": " + std::strerror(errno));
    }
  }
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  int failed[2] = {-1, -1};
  const bool ready = input >= 0 && ::pipe2(failed, O_CLOEXEC) == 0;
  const Prepared prepared{arguments.data(),
                          variables.data(),
                          start.sockets.data(),
                          start.sockets.size(),
                          input,
                          log,
                          failed[1],
                          start.death_signal,
                          start.keep_blocked,
                          ::getpid()};
  const pid_t child = ready ? ::fork() : -1;
  if (child == 0) become(prepared);
  int failure = errno;
  close_if_open(input);
  close_if_open(log);
  close_if_open(failed[1]);
  if (child > 0) {
    ::setpgid(child, child);  // both sides do it, so that it is done when either goes on
    failure = wait_for_exec(failed[0]);
    if (failure != 0) ::waitpid(child, nullptr, 0);
  }
  close_if_open(failed[0]);
  if (child < 0 || failure != 0) {
    throw Error(ErrorKind::kIo, command[0] + ": cannot be started: " + std::strerror(failure));
  }
  return child;
}

std::string own_program() { return std::filesystem::read_symlink("/proc/self/exe"); }

}  // namespace athanor

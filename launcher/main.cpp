// athanor: installs the signals and runs what the command line says. Errors become one line
// and their exit code here and nowhere else.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>

#include "core/error.h"
#include "core/log.h"
#include "launcher/command_line.h"
#include "launcher/rank_discovery.h"
#include "launcher/stop_signals.h"

namespace {

std::atomic<int> stop_requests{0};

// First signal: finish the step, save, exit 75. A second interrupt: out at once.
extern "C" void on_signal(int signal) {
  if (stop_requests.fetch_add(1) > 0 && signal == SIGINT) {
    _exit(athanor::exit_code(athanor::ErrorKind::kInterrupted));
  }
}

void install_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : athanor::kStopSignals) {
    if (signal != SIGHUP || !athanor::ignored(SIGHUP)) sigaction(signal, &action, nullptr);
  }
  // `athanor launch` starts its ranks with all it waits for blocked.
  sigset_t awaited = athanor::stop_signal_set();
  sigaddset(&awaited, SIGCHLD);
  sigprocmask(SIG_UNBLOCK, &awaited, nullptr);
  // A file that may not grow is an error of the write (EFBIG), not a death.
  std::signal(SIGXFSZ, SIG_IGN);
}

// A program that was started without one of them would get their numbers for its next files. What
// stands in their place fails at reads and writes as a closed one does.
void occupy_standard_descriptors() {
  for (const int expected : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    const int flags = expected == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    if (::fcntl(expected, F_GETFD) < 0) ::open("/dev/null", flags);  // the lowest number is free
  }
}

// Output that was lost is a failure, however well the rest went.
void check_standard_output() {
  errno = 0;
  std::cout.flush();
  const bool flushed = std::fflush(stdout) == 0;
  if (flushed && std::ferror(stdout) == 0 && std::cout.good()) return;
  // An earlier write may have failed; its errno is gone.
  const std::string reason = errno != 0 ? std::generic_category().message(errno) : "a write failed";
  throw athanor::Error(athanor::ErrorKind::kIo, "standard output: cannot write: " + reason);
}

// One line for each problem.
void log_error_lines(const std::string& message) {
  std::istringstream lines(message);
  for (std::string line; std::getline(lines, line);) athanor::log_error(line);
}

// CPUs older than this cannot run the program at all; say so instead of dying on an instruction.
bool cpu_is_supported() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
#else
  return true;
#endif
}

// How long a rank other than 0 leaves it to rank 0 to say what all ranks find at the same point:
// errors of the configuration, a plan that does not fit (rank 0 looks for the cheapest changes
// first), numbers that diverged. mpirun ends the others then. A rank that is still there has found
// what rank 0 has not, such as a folder that is missing on its host.
std::chrono::seconds patience_with(athanor::ErrorKind kind) {
  switch (kind) {
    case athanor::ErrorKind::kConfig:
    case athanor::ErrorKind::kDiverged:
      return std::chrono::seconds(4);
    case athanor::ErrorKind::kDoesNotFit:
      return std::chrono::seconds(20);
    default:
      return std::chrono::seconds(0);
  }
}

// Launched ranks have logs of their own.
bool speaks_for_itself(athanor::ErrorKind kind) {
  if (athanor::log_rank() == 0 || athanor::started_by_launch()) return true;
  const auto end = std::chrono::steady_clock::now() + patience_with(kind);
  while (std::chrono::steady_clock::now() < end) {
    if (stop_requests.load() != 0) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (!cpu_is_supported()) {
    std::fputs("athanor: this CPU lacks AVX2 and FMA, which the program needs\n", stderr);
    return athanor::exit_code(athanor::ErrorKind::kInternal);
  }
  occupy_standard_descriptors();
  install_signals();
  try {
    const int code = athanor::run_command_line(argc, argv, stop_requests);
    check_standard_output();
    return code;
  } catch (const athanor::Error& error) {
    if (speaks_for_itself(error.kind())) log_error_lines(error.message());
    return athanor::exit_code(error.kind());
  } catch (const std::filesystem::filesystem_error& error) {
    athanor::log_error(error.what());
    return athanor::exit_code(athanor::ErrorKind::kIo);
  } catch (const std::exception& error) {
    athanor::log_error(std::string("unexpected: ") + error.what());
    return athanor::exit_code(athanor::ErrorKind::kInternal);
  }
}

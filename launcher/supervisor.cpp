#include "launcher/supervisor.h"

#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>

#include "core/error.h"
#include "core/log.h"
#include "launcher/stop_signals.h"

namespace athanor {
namespace {

using Clock = std::chrono::steady_clock;

// For ranks that have lost a peer, to say so and to end by themselves; and for mpirun, to end those
// on other hosts.
constexpr std::chrono::seconds kGrace{3};
constexpr int64_t kLookEvery = 100'000'000;  // ns: how late rank 0's output may be seen
// A look that comes so late was not held up by work: the launcher, or the machine, was stopped.
constexpr std::chrono::seconds kSlept{2};
constexpr size_t kTailLines = 20;

bool failed_by_itself(const ProcessEnd& end) {
  if (end.order < 0 || end.ended_here) return false;
  if (end.signal != 0) return true;
  return end.code != 0 && end.code != exit_code(ErrorKind::kStopped) &&
         end.code != exit_code(ErrorKind::kLostPeer);
}

bool lost_peer(const ProcessEnd& end) {
  return end.order >= 0 && end.signal == 0 && end.code == exit_code(ErrorKind::kLostPeer);
}

bool failed(const ProcessEnd& end) { return failed_by_itself(end) || lost_peer(end); }

std::string how(const ProcessEnd& end) {
  if (end.ended_here) return "ended by the launcher";
  if (end.signal != 0) {
    return "killed by signal " + std::to_string(end.signal) + " (SIG" +
           std::string(::sigabbrev_np(end.signal) != nullptr ? ::sigabbrev_np(end.signal) : "?") +
           ")";
  }
  return "exit code " + std::to_string(end.code);
}

// mpirun says 128 + signal of a rank that was killed: to the user a rank is lost all the same.
int code_behind_mpirun(int code) {
  const bool killed = code > 128 && code != exit_code(ErrorKind::kInterrupted);
  return killed ? exit_code(ErrorKind::kLostPeer) : code;
}

std::string text_from(const std::filesystem::path& path, uint64_t offset) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string last_lines(const std::string& text, size_t lines) {
  size_t start = text.size();
  for (size_t found = 0; start > 0; --start) {
    if (text[start - 1] == '\n' && start != text.size() && ++found == lines) break;
  }
  return text.substr(start);
}

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

std::optional<size_t> find_cause(const std::vector<ProcessEnd>& ends) {
  const auto first = [&](auto wanted) {
    std::optional<size_t> found;
    for (size_t i = 0; i < ends.size(); ++i) {
      if (wanted(ends[i]) && (!found || ends[i].order < ends[*found].order)) found = i;
    }
    return found;
  };
  std::optional<size_t> cause = first(failed_by_itself);
  if (!cause) return first(lost_peer);
  for (size_t i = 0; i < *cause; ++i) {
    if (failed_by_itself(ends[i]) && ends[i].signal == ends[*cause].signal &&
        ends[i].code == ends[*cause].code && ends[i].signal == 0) {
      return i;
    }
  }
  return cause;
}

Supervisor::Supervisor(std::vector<WatchedProcess> processes, Forward forward,
                       SupervisorHooks hooks)
    : processes_(std::move(processes)),
      forward_(forward),
      hooks_(std::move(hooks)),
      ends_(processes_.size()),
      last_look_(Clock::now()),
      shown_bytes_(processes_.empty() ? 0 : processes_[0].log_begin) {}

Supervisor::~Supervisor() {
  end_all();
  while (any_running()) {
    if (overdue()) kill_all();
    wait_for_news();
    reap();
  }
}

int Supervisor::run() {
  std::optional<Clock::time_point> first_failure;
  while (any_running()) {
    wait_for_news();
    reap();
    ask_hooks();
    if (!first_failure && std::any_of(ends_.begin(), ends_.end(), failed)) {
      first_failure = Clock::now();
    }
    if (first_failure && Clock::now() - *first_failure > kGrace) end_all();
    if (overdue()) kill_all();
    // After a failure the cause is to be read first; the rest is in the logs.
    if (!first_failure) show_output();
  }
  return report();
}

bool Supervisor::any_running() const {
  return std::any_of(ends_.begin(), ends_.end(),
                     [](const ProcessEnd& end) { return end.order < 0; });
}

void Supervisor::wait_for_news() {
  sigset_t awaited = stop_signal_set();
  sigaddset(&awaited, SIGCHLD);
  const timespec patience{0, kLookEvery};
  const int signal = ::sigtimedwait(&awaited, nullptr, &patience);
  if (signal > 0 && signal != SIGCHLD) on_stop_signal(signal);
}

void Supervisor::on_stop_signal(int signal) {
  if (stopping_ && signal == SIGINT) {
    if (interrupted_) kill_all();  // it did not end when asked
    interrupted_ = true;
    end_all();
    return;
  }
  pass_on(signal);
}

void Supervisor::pass_on(int signal) {
  stopping_ = true;
  const int passed = forward_ == Forward::kAsUsr1 ? SIGUSR1 : signal;
  for (size_t i = 0; i < processes_.size(); ++i) {
    if (running(i)) ::kill(processes_[i].pid, passed);
  }
}

void Supervisor::ask_hooks() {
  const Clock::time_point now = Clock::now();
  if (now - last_look_ > kSlept && hooks_.slept) hooks_.slept(now - last_look_);
  last_look_ = now;
  if (hooks_.look) hooks_.look();
  if (ended_at_ || !any_running()) return;
  if (hooks_.stop_asked && hooks_.stop_asked()) pass_on(SIGUSR1);
  if (!hooks_.find_hang || std::any_of(ends_.begin(), ends_.end(), failed)) return;
  if (const auto hang = hooks_.find_hang()) {
    log_error(*hang);
    hung_ = true;
    end_all();
  }
}

void Supervisor::reap() {
  for (size_t i = 0; i < processes_.size(); ++i) {
    int status = 0;
    if (!running(i) || ::waitpid(processes_[i].pid, &status, WNOHANG) != processes_[i].pid)
      continue;
    ProcessEnd& end = ends_[i];
    end.order = ended_++;
    if (WIFSIGNALED(status)) {
      end.signal = WTERMSIG(status);
    } else {
      end.code = WEXITSTATUS(status);
      end.ended_here = false;  // it was faster
    }
  }
}

// mpirun has processes on other hosts to end, which it does when asked.
void Supervisor::end_all() {
  if (!ended_at_) ended_at_ = Clock::now();
  for (size_t i = 0; i < processes_.size(); ++i) {
    if (!running(i) || ends_[i].ended_here) continue;
    ends_[i].ended_here = true;
    if (forward_ == Forward::kAsUsr1) {
      ::kill(processes_[i].pid, SIGTERM);
    } else {
      ::kill(-processes_[i].pid, SIGKILL);
    }
  }
}

bool Supervisor::overdue() const { return ended_at_ && Clock::now() - *ended_at_ > kGrace; }

// Without asking. What mpirun started on other hosts notices that it is gone.
void Supervisor::kill_all() {
  for (size_t i = 0; i < processes_.size(); ++i) {
    if (running(i)) ::kill(-processes_[i].pid, SIGKILL);
  }
}

void Supervisor::show_output() {
  if (processes_[0].log.empty()) return;
  const std::string text = text_from(processes_[0].log, shown_bytes_);
  shown_bytes_ += text.size();
  print(text);
}

int Supervisor::report() {
  if (interrupted_) {
    show_output();
    return exit_code(ErrorKind::kInterrupted);
  }
  if (hung_) {
    show_output();
    return exit_code(ErrorKind::kHang);
  }
  const std::optional<size_t> cause = find_cause(ends_);
  if (!cause) {
    show_output();
    return std::any_of(ends_.begin(), ends_.end(),
                       [](const ProcessEnd& end) { return end.code != 0; })
               ? exit_code(ErrorKind::kStopped)
               : 0;
  }
  const ProcessEnd& end = ends_[*cause];
  const int code = end.signal != 0 ? exit_code(ErrorKind::kLostPeer) : end.code;
  const std::filesystem::path& log = processes_[*cause].log;
  if (log.empty()) return code_behind_mpirun(code);
  const std::string tail = last_lines(text_from(log, processes_[*cause].log_begin), kTailLines);
  const std::string message =
      "rank " + std::to_string(*cause) + " failed: " + how(end) +
      (hooks_.last_seen ? hooks_.last_seen(*cause) : "") +
      (tail.empty() ? "; it has written nothing to " : "; the end of its log, ") + log.string() +
      (tail.empty() ? "" : ":");
  // A rank that ended itself has said its error; a killed one could not.
  end.signal != 0 ? log_error(message) : log_info(message);
  if (*cause == 0) {
    show_output();  // the part that has not been seen
  } else {
    print(tail);
  }
  std::string others;
  for (size_t i = 0; i < ends_.size(); ++i) {
    if (i == *cause || (ends_[i].signal == 0 && ends_[i].code == 0)) continue;
    others += (others.empty() ? "" : ", ") + ("rank " + std::to_string(i)) + " " + how(ends_[i]);
  }
  if (!others.empty()) log_info("the other ranks: " + others);
  return code;
}

}  // namespace athanor

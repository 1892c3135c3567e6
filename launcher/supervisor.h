// Watches the processes of a job until all have ended: passes signals on, shows what rank 0 writes,
// ends the others when one has failed or hangs, and says which one was the cause.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace athanor {

struct WatchedProcess {
  pid_t pid = -1;
  std::filesystem::path log;  // empty: its output is seen anyway
  uint64_t log_begin = 0;     // what is before it was written by an earlier attempt
};

// How a process ended.
struct ProcessEnd {
  int order = -1;  // 0 is the first one; -1: it runs
  int code = 0;    // its exit code, where no signal ended it
  int signal = 0;
  bool ended_here = false;  // by the supervisor
};

// Index of the one whose failure explains the others': the first that failed by itself rather than
// for a lost peer; of those with its exit code the lowest rank, because all ranks find a mistake
// in the configuration. Nothing when none has failed.
std::optional<size_t> find_cause(const std::vector<ProcessEnd>& ends);

// What someone who hears the ranks knows; each may be empty.
struct SupervisorHooks {
  std::function<void()> look;                             // some ten times a second
  std::function<std::optional<std::string>()> find_hang;  // the message
  std::function<std::string(size_t rank)> last_seen;      // " on HOST after step 12, in backward"
  std::function<bool()> stop_asked;                       // true once: as a stop signal
  std::function<void(std::chrono::steady_clock::duration)> slept;  // this process, not the ranks
};

class Supervisor {
 public:
  // What a stop signal becomes on its way.
  enum class Forward { kAsIs, kAsUsr1 };

  // The caller has blocked the stop signals and SIGCHLD, before it started anything.
  Supervisor(std::vector<WatchedProcess> processes, Forward forward, SupervisorHooks hooks = {});
  // Ends what still runs, within kGrace.
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Returns the exit code of the job.
  int run();
  // The user wants it to end: no restart.
  bool stopping() const { return stopping_; }

 private:
  bool running(size_t index) const { return ends_[index].order < 0; }
  bool any_running() const;
  void wait_for_news();
  void on_stop_signal(int signal);
  void pass_on(int signal);
  void ask_hooks();
  void reap();
  void end_all();
  void kill_all();
  bool overdue() const;
  void show_output();
  int report();

  std::vector<WatchedProcess> processes_;
  Forward forward_;
  SupervisorHooks hooks_;
  std::vector<ProcessEnd> ends_;
  int ended_ = 0;
  bool stopping_ = false;
  bool interrupted_ = false;
  std::optional<std::chrono::steady_clock::time_point> ended_at_;  // when they were told to end
  std::chrono::steady_clock::time_point last_look_;
  bool hung_ = false;
  uint64_t shown_bytes_ = 0;  // of rank 0's log
};

}  // namespace athanor

// Watches the processes of a job until all have ended: passes signals on, shows what rank 0 writes,
// ends the others when one has failed, and says which one was the cause.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace athanor {

struct WatchedProcess {
  pid_t pid = -1;
  std::filesystem::path log;  // empty: its output is seen anyway
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

class Supervisor {
 public:
  // What a stop signal becomes on its way.
  enum class Forward { kAsIs, kAsUsr1 };

  // The caller has blocked the stop signals and SIGCHLD, before it started anything.
  Supervisor(std::vector<WatchedProcess> processes, Forward forward);
  // Ends what still runs, within kGrace.
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Returns the exit code of the job.
  int run();

 private:
  bool running(size_t index) const { return ends_[index].order < 0; }
  bool any_running() const;
  void wait_for_news();
  void on_stop_signal(int signal);
  void reap();
  void end_all();
  void kill_all();
  bool overdue() const;
  void show_output();
  int report();

  std::vector<WatchedProcess> processes_;
  Forward forward_;
  std::vector<ProcessEnd> ends_;
  int ended_ = 0;
  bool stopping_ = false;
  bool interrupted_ = false;
  std::optional<std::chrono::steady_clock::time_point> ended_at_;  // when they were told to end
  size_t shown_bytes_ = 0;                                         // of rank 0's log
};

}  // namespace athanor

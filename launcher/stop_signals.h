// The signals that ask a run to finish its step, save and end: Ctrl-C, the polite kill, and what
// schedulers send before their time limit; and the end of a terminal, unless nohup ignores it.
#pragma once

#include <csignal>

namespace athanor {

inline constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGUSR1, SIGHUP};

inline bool ignored(int signal) {
  struct sigaction action = {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

inline sigset_t stop_signal_set() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kStopSignals) {
    if (signal != SIGHUP || !ignored(SIGHUP)) sigaddset(&set, signal);
  }
  return set;
}

}  // namespace athanor

// The signals that ask a run to finish its step, save and end: Ctrl-C, the polite kill, and what
// schedulers send before their time limit.
#pragma once

#include <csignal>

namespace athanor {

inline constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGUSR1};

inline sigset_t stop_signal_set() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kStopSignals) sigaddset(&set, signal);
  return set;
}

}  // namespace athanor

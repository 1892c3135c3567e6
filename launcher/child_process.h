// A program started here that cannot outlive its parent: the kernel signals it when the parent is
// gone, however that happened.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

namespace athanor {

struct ChildStart {
  std::vector<std::string> command;
  std::vector<std::string> environment;  // NAME=value, before this process's own
  std::vector<int> sockets;              // descriptors that it keeps; -1 is skipped
  std::filesystem::path
      log;  // its output goes behind what is there; empty: where this process's goes
  int death_signal = SIGKILL;  // when this process is gone
  bool keep_blocked = false;   // signals that are blocked here; else none is
};

// In a process group of its own, so that a terminal's Ctrl-C reaches only the parent, which passes
// it on. Returns when it runs; throws kIo when it could not be started.
pid_t start_child(const ChildStart& start);

// The file this process runs.
std::string own_program();

}  // namespace athanor

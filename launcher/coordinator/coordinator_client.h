// The other ends of the control plane: a rank that registers and lets a thread of its own send what
// it is doing, and `athanor status`.
#pragma once

#include <memory>
#include <string>

#include "core/activity.h"
#include "launcher/coordinator/run_watch.h"

namespace athanor {

// Calls have a deadline; Error(kLostPeer) when it passes or the coordinator has gone.
class CoordinatorClient {
 public:
  // As connect_private of private_socket.h.
  explicit CoordinatorClient(const std::string& socket);
  ~CoordinatorClient();
  CoordinatorClient(const CoordinatorClient&) = delete;
  CoordinatorClient& operator=(const CoordinatorClient&) = delete;

  struct Welcome {
    std::string refusal;  // empty: welcome
    bool paused = false;
  };
  Welcome introduce(const RankIntroduction& introduction);
  struct Answer {
    bool known = false;
    bool paused = false;
  };
  Answer beat(int rank, int64_t process, const RankReport& report, bool last);
  RunStatus status();
  // Empty, or why not.
  std::string ask(Ask ask);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Of a rank, from its registration to its end.
class Heartbeats {
 public:
  // Registers; Error(kConfig) when the rank is refused. `activity` outlives it.
  Heartbeats(const std::string& socket, const RankIntroduction& introduction, Activity& activity);
  // Says that the rank is ending.
  ~Heartbeats();
  Heartbeats(const Heartbeats&) = delete;
  Heartbeats& operator=(const Heartbeats&) = delete;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace athanor

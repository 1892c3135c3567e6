// What the launcher knows of its ranks: who has registered, what each was last heard doing, and
// whether one of them hangs. Knows no transport; any thread may call.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/activity.h"

namespace athanor {

// What all ranks of a run must share with its launcher.
struct RunIdentity {
  std::string program;  // version and build
  std::string config;   // hash of settings
};

struct RankIntroduction {
  int rank = 0;
  int world_size = 0;
  int64_t process = 0;
  std::string host;
  RunIdentity identity;
};

// One look at an Activity.
struct RankReport {
  int64_t step = 0;
  int64_t total_steps = 0;
  Section section = Section::kStarting;
  int64_t ticks = 0;
  int64_t exchanges_begun = 0;
  int64_t exchanges_done = 0;
  double loss = 0;
  double learning_rate = 0;
  double tokens_per_second = 0;
};

struct RankStatus {
  bool registered = false;
  int64_t process = 0;
  std::string host;
  double seconds_since_heard = 0;
  RankReport report;
};

struct RunStatus {
  std::vector<RankStatus> ranks;
  int restarts = 0;
  bool paused = false;
  bool stopping = false;
};

enum class Ask { kStop, kSave, kPause, kResume };

// When silence or stillness is a hang:
//   in a step              max(least, factor * the longest step seen); the first one is apart
//   before and around it   slow_factor * least: reading weights and data, the first step, saving
struct HangLimits {
  std::chrono::duration<double> least{60};  // 0: nothing is a hang
  double factor = 10;
  double slow_factor = 30;  // times `least`
};

class RunWatch {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;

  RunWatch(RunIdentity identity, HangLimits limits)
      : identity_(std::move(identity)), limits_(limits) {}

  // All ranks are started anew, `world` of them.
  void begin_attempt(int world, Time now);
  // `ranks` may be missing for ever: those on other hosts, which cannot reach the coordinator.
  void expect_absent() { may_be_absent_ = true; }

  // Empty, or in one line why the rank may not take part.
  std::string introduce(const RankIntroduction& introduction, Time now);
  // False when that process is not that rank.
  bool beat(int rank, int64_t process, const RankReport& report, bool last, Time now);

  // Names the rank that keeps the others waiting, where it is, and the limit.
  std::optional<std::string> find_hang(Time now) const;
  // This process itself did not run for a while: nobody is to blame for the silence.
  void forgive(Clock::duration gap);

  RunStatus status(Time now) const;
  // ", on HOST, last seen in step 12 (backward)", empty when it was never heard.
  std::string last_seen(int rank) const;

  void ask(Ask ask);
  bool paused() const;
  // True once for each time it was asked.
  bool take_stop();
  bool take_save();

 private:
  struct Row {
    RankStatus status;
    Time heard;
    Time changed;     // its ticks or exchanges
    Time step_began;  // as far as heartbeats show it
    int steps_seen = 0;
    bool ended = false;
  };
  using Seconds = std::chrono::duration<double>;

  Seconds limit_in_step() const;
  Seconds limit_of(const Row& row) const;
  bool is_silent(const Row& row, Time now) const;
  const Row* odd_one(Time now) const;
  std::string where(const Row& row) const;

  const RunIdentity identity_;
  const HangLimits limits_;
  mutable std::mutex mutex_;
  std::vector<Row> rows_;
  Time began_;
  Seconds longest_step_{0};
  int attempts_ = 0;
  bool may_be_absent_ = false;
  bool paused_ = false;
  bool stopping_ = false;
  bool stop_asked_ = false;
  bool save_asked_ = false;
};

}  // namespace athanor

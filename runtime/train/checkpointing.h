// Checkpointing: when a rank of a run saves, and how the ranks agree on it. All of it happens at
// the end of a step, where every rank casts a vote: someone was asked to stop, someone to save, my
// shard is still being written. Shards are written beside the following steps, from a copy; when
// every rank is done, rank 0 completes the checkpoint and gives it its name.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/activity.h"
#include "core/stream.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/checkpoint/state_shard.h"
#include "runtime/train/run.h"
#include "runtime/train/session.h"
#include "sharding/comm/communicator.h"

namespace athanor {

// Files in the output folder that ask like a signal does; they are removed when they are obeyed.
inline constexpr char kStopFile[] = "STOP";
inline constexpr char kSaveFile[] = "SAVE";

// Of a run after a step, as a checkpoint keeps it.
struct RunState {
  RunProgress progress;
  std::string trainer_state;                            // trainer_state.json
  std::vector<std::pair<int64_t, double>> evaluations;  // steps and losses so far
};

class Checkpointing {
 public:
  // After so many saves in a row that failed the run ends.
  static constexpr int kMaxFailures = 3;

  Checkpointing(const ResolvedRun& run, const RunData& data, Trainer& trainer,
                Communicator& communicator, Stream& stream, Activity* activity);
  ~Checkpointing();

  // The calls below are collective. `state` is called when it is needed, on every rank alike.
  using State = std::function<RunState()>;

  // After step `done` of the run (1 is the first), which is not the last one: saves when it is due
  // or asked for. Waits while someone asks for a pause. True: someone asked to stop (`stop` is not
  // zero, or the file is there); the checkpoint is on disk.
  bool step_end(int64_t done, const std::atomic<int>& stop, const State& state);
  // At the end of the run: waits for what is being written, and saves the last state.
  void finish(int64_t done, const State& state);
  // The checkpoint that the run came from: it is not written again.
  void resumed_from(int64_t step, const std::filesystem::path& folder);

 private:
  struct Pending {
    RunState state;
    FileRecord shard;
    std::vector<FileRecord> others;  // rank 0's
    std::string problem;
  };

  bool leads() const { return communicator_.rank() == 0; }
  struct Vote;
  Vote vote(const std::atomic<int>& stop);
  bool obey(const Vote& any, int64_t done, bool due, const State& state);
  bool asked_by_file(const char* name) const;
  void obeyed(const char* name) const;
  bool save(const State& state, bool background);
  void write();
  bool conclude();
  void complete(const std::vector<FileRecord>& shards);
  std::vector<FileRecord> gather_shards(bool& failed);
  void prune(const std::vector<std::pair<int64_t, double>>& evaluations) const;
  void count_failure(int64_t step);
  Manifest manifest() const;

  const ResolvedRun& run_;
  const RunData& data_;
  Communicator& communicator_;
  Stream& stream_;
  Activity* activity_;
  StateShard& shard_;
  PartitionTable const& table_;
  std::filesystem::path output_;
  int64_t steps_per_epoch_;
  std::optional<Pending> pending_;
  std::atomic<bool> written_{false};
  std::thread writer_;
  int failures_ = 0;
  int64_t last_saved_ = 0;
  std::string data_digest_;             // rank 0's; made with the first save
  std::vector<FileRecord> base_files_;  // likewise
};

}  // namespace athanor

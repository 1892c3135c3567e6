// The streams of a rank under observation, for `train --profile`.
#pragma once

#include <algorithm>
#include <string>

#include "core/log.h"
#include "runtime/train/profile.h"
#include "runtime/train/session.h"
#include "runtime/train/timeline.h"

namespace athanor {

struct RunProfile {
  explicit RunProfile(CpuDevice& device)
      : compute(device.compute, ProfilingStream::Clock::now()),
        communication(device.communication, ProfilingStream::Clock::now()),
        storage(device.storage, ProfilingStream::Clock::now()) {}

  void clear() {
    synchronize();
    compute.clear();
    communication.clear();
    storage.clear();
  }
  void synchronize() {
    compute.synchronize();
    communication.synchronize();
    storage.synchronize();
  }
  Timeline timeline() {
    synchronize();
    const int64_t dropped = compute.dropped() + communication.dropped() + storage.dropped();
    if (dropped > 0) {
      log_warning("profile: " + std::to_string(dropped) +
                  " operations too many are left out; fewer max_steps keep all");
    }
    Timeline timeline;
    timeline.tracks.push_back({"compute", compute.operations()});
    timeline.tracks.push_back({"communication", communication.operations()});
    if (!storage.operations().empty()) {
      timeline.tracks.push_back({"storage", storage.operations()});
    }
    for (const TimelineTrack& track : timeline.tracks) {
      if (track.operations.empty()) continue;
      timeline.seconds = std::max(timeline.seconds, track.operations.back().end_seconds);
    }
    return timeline;
  }

  ProfilingStream compute;
  ProfilingStream communication;
  ProfilingStream storage;
};

}  // namespace athanor

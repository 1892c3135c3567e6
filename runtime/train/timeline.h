// When each operation of a step would run on a machine: the training step on streams that have a
// clock instead of a processor, written as a Chrome trace (chrome://tracing, Perfetto).
#pragma once

#include <string>
#include <vector>

#include "core/stream.h"
#include "runtime/train/machine.h"
#include "runtime/train/plan.h"

namespace athanor {

struct TimedOperation {
  Cost cost;
  double start_seconds = 0;
  double end_seconds = 0;
};

struct TimelineTrack {
  std::string name;  // of the stream
  std::vector<TimedOperation> operations;
};

struct Timeline {
  std::vector<TimelineTrack> tracks;
  double seconds = 0;  // when the last operation ends
};

// One step in steady state of rank 0. Operations start when their stream is free, what they wait
// for has passed and the host has come to them; they last as long as the machine's rates allow.
Timeline plan_timeline(const RunConfig& config, const PlanOptions& options, const Machine& machine);

// Chrome's trace format: one complete event ("X") an operation, microseconds.
std::string chrome_trace(const Timeline& timeline);

}  // namespace athanor

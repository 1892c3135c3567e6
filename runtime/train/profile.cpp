#include "runtime/train/profile.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>

#include "core/error.h"
#include "runtime/train/figures.h"

namespace athanor {

// What the inner stream runs: the operation between two looks at the clock. A little smaller than a
// slot; the closures of the kernels are far smaller than either.
struct ProfilingStream::Timed {
  static constexpr size_t kBytes = kClosureBytes - 128;

  ProfilingStream* profile;
  Cost cost;
  Call call;
  alignas(16) std::array<std::byte, kBytes> closure;

  void operator()(ExecContext& context) {
    const Clock::time_point begin = Clock::now();
    call(closure.data(), context);
    profile->note(cost, begin, Clock::now());
  }
};

void ProfilingStream::enqueue(const Cost& cost, Call call, void* closure, size_t bytes) {
  Timed timed{this, cost, call, {}};
  ATHANOR_CHECK(bytes <= Timed::kBytes, "a closure is too large to be profiled");
  std::memcpy(timed.closure.data(), closure, bytes);
  inner_.submit(cost, timed);
}

void ProfilingStream::note(const Cost& cost, Clock::time_point begin, Clock::time_point end) {
  if (operations_.size() == kCapacity) {
    ++dropped_;
    return;
  }
  const auto seconds = [this](Clock::time_point at) {
    return std::chrono::duration<double>(at - start_).count();
  };
  operations_.push_back({cost, seconds(begin), seconds(end)});
}

namespace {

struct Sum {
  int64_t count = 0;
  double seconds = 0;
  double flops = 0;
  double bytes = 0;
  double floor = 0;
};

// The least time at the machine's rates.
double floor_seconds(const Cost& cost, const Machine& machine, double flops,
                     const std::string& track) {
  if (track == "communication") return link_floor(cost, machine.network_bandwidth);
  if (track == "storage") {
    return machine.disk_bandwidth > 0 ? link_floor(cost, machine.disk_bandwidth) : 0;
  }
  return compute_floor(cost, flops, machine.memory_bandwidth);
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", share * 100);
  return text;
}

}  // namespace

std::string profile_table(const Timeline& timeline, const Machine& machine, DType dtype) {
  const double flops = machine.flops(dtype);
  std::string text;
  for (const TimelineTrack& track : timeline.tracks) {
    std::map<std::string, Sum> sums;
    double total = 0;
    for (const TimedOperation& operation : track.operations) {
      Sum& sum = sums[operation.cost.name];
      const double seconds = operation.end_seconds - operation.start_seconds;
      ++sum.count;
      sum.seconds += seconds;
      sum.flops += operation.cost.flops;
      sum.bytes += static_cast<double>(operation.cost.bytes_read + operation.cost.bytes_written);
      sum.floor += floor_seconds(operation.cost, machine, flops, track.name);
      total += seconds;
    }
    std::vector<std::pair<std::string, Sum>> sorted(sums.begin(), sums.end());
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
      return a.second.seconds > b.second.seconds;
    });
    if (sorted.empty()) continue;
    text += column(track.name, 28) + column("count", 9) + column("time", 12) + column("share", 9) +
            column("rate", 17) + column("bytes", 14) + "of the limit\n";
    for (const auto& [name, sum] : sorted) {
      const double seconds = std::max(sum.seconds, 1e-12);
      text += column(name, 28) + column(std::to_string(sum.count), 9) +
              column(human(sum.seconds, "s"), 12) +
              column(percent(sum.seconds / std::max(total, 1e-12)), 9) +
              column(human(sum.flops / seconds, "FLOP/s"), 17) +
              column(human(sum.bytes / seconds, "B/s"), 14) + percent(sum.floor / seconds) + "\n";
    }
  }
  return text;
}

}  // namespace athanor

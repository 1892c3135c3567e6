#include "runtime/train/timeline.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "runtime/train/trainer.h"

namespace athanor {
namespace {

// What an operation costs at a rank's best.
struct Rates {
  double flops = 1;
  double bytes_read = 1;  // bytes/s; both directions share memory, the larger one fills a link
  bool link = false;

  double seconds(const Cost& cost) const {
    return link ? link_floor(cost, bytes_read) : compute_floor(cost, flops, bytes_read);
  }
};

// A stream with a clock. The host is a clock, too: it submits without delay and moves on only when
// it waits for a stream.
class ClockedStream final : public Stream {
 public:
  ClockedStream(const Rates& rates, double& host) : rates_(rates), host_(host) {}

  Event record() override { return {this, operations_.size()}; }
  void wait(const Event& event) override {
    const auto* other = dynamic_cast<const ClockedStream*>(event.stream);
    if (other != nullptr) free_ = std::max(free_, other->passed(event.ticket));
  }
  void synchronize() override { wait_for(operations_.size()); }
  void wait_for(uint64_t ticket) override { host_ = std::max(host_, passed(ticket)); }
  double read_scalar(const double*, double nominal) override {
    synchronize();
    return nominal;
  }

  const std::vector<TimedOperation>& operations() const { return operations_; }

 protected:
  void enqueue(const Cost& cost, Call, void*, size_t) override {
    const double start = std::max(free_, host_);
    free_ = start + rates_.seconds(cost);
    operations_.push_back({cost, start, free_});
  }

 private:
  double passed(uint64_t ticket) const {
    return ticket == 0 ? 0 : operations_.at(ticket - 1).end_seconds;
  }

  Rates rates_;
  double& host_;
  double free_ = 0;
  std::vector<TimedOperation> operations_;
};

// The operations from `first` on, on a clock that starts at `begin`.
TimelineTrack track(const std::string& name, const ClockedStream& stream, size_t first,
                    double begin) {
  TimelineTrack track{name, {}};
  for (size_t i = first; i < stream.operations().size(); ++i) {
    TimedOperation operation = stream.operations()[i];
    operation.start_seconds -= begin;
    operation.end_seconds -= begin;
    track.operations.push_back(operation);
  }
  return track;
}

}  // namespace

Timeline plan_timeline(const RunConfig& config, const PlanOptions& options,
                       const Machine& machine) {
  const ResolvedRun run = resolve_run(config, options.world_size);
  const double flops = machine.flops(run.trainer.dtype);
  double host = 0;
  PlanAllocator memory(Tier::kDevice);
  ClockedStream compute({flops, machine.memory_bandwidth, false}, host);
  ClockedStream communication({1, machine.network_bandwidth, true}, host);
  const double disk = machine.disk_bandwidth > 0 ? machine.disk_bandwidth : 1e30;
  ClockedStream storage({1, disk, true}, host);
  const std::unique_ptr<Communicator> communicator =
      make_counting_communicator(0, options.world_size, memory, options.staging_bytes);
  Trainer trainer(run.spec, run.trainer, {memory, compute, communication, *communicator, &storage});
  trainer.load(nullptr);
  const StepBatch batch = full_step_batch(run, trainer.lane_plan(run.batch.micro_batches), 0);
  // The first step finds empty slots; the second is like all later ones.
  trainer.train_step(batch, 0, 0.0);
  compute.synchronize();
  communication.synchronize();
  storage.synchronize();
  const double begin = host;
  const size_t computed = compute.operations().size();
  const size_t communicated = communication.operations().size();
  const size_t stored = storage.operations().size();
  trainer.train_step(batch, 1, 0.0);
  compute.synchronize();
  communication.synchronize();
  storage.synchronize();
  Timeline timeline;
  timeline.tracks.push_back(track("compute", compute, computed, begin));
  timeline.tracks.push_back(track("communication", communication, communicated, begin));
  if (!storage.operations().empty()) {
    timeline.tracks.push_back(track("storage", storage, stored, begin));
  }
  timeline.seconds = host - begin;
  return timeline;
}

std::string chrome_trace(const Timeline& timeline) {
  nlohmann::ordered_json events = nlohmann::ordered_json::array();
  for (size_t i = 0; i < timeline.tracks.size(); ++i) {
    const TimelineTrack& track = timeline.tracks[i];
    events.push_back({{"name", "thread_name"},
                      {"ph", "M"},
                      {"pid", 0},
                      {"tid", i},
                      {"args", {{"name", track.name}}}});
    for (const TimedOperation& operation : track.operations) {
      const Cost& cost = operation.cost;
      events.push_back({{"name", cost.name},
                        {"ph", "X"},
                        {"pid", 0},
                        {"tid", i},
                        {"ts", operation.start_seconds * 1e6},
                        {"dur", (operation.end_seconds - operation.start_seconds) * 1e6},
                        {"args",
                         {{"flops", cost.flops},
                          {"bytes_read", cost.bytes_read},
                          {"bytes_written", cost.bytes_written}}}});
    }
  }
  const nlohmann::ordered_json trace = {{"displayTimeUnit", "ms"}, {"traceEvents", events}};
  return trace.dump() + "\n";
}

}  // namespace athanor

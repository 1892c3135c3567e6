#include "sharding/schedule.h"

#include <algorithm>
#include <bit>
#include <string>

#include "core/error.h"

namespace athanor {

int64_t LanePlan::micro_batch(int rank, int64_t slot) const {
  const int64_t lane = int64_t{rank} * lanes_per_rank() + slot / per_lane();
  const int64_t index = lane * per_lane() + slot % per_lane();
  return lane < lanes && index < micro_batches ? index : kAbsent;
}

int LanePlan::present_lanes() const {
  return static_cast<int>((micro_batches + per_lane() - 1) / per_lane());
}

int LanePlan::present_ranks() const {
  return (present_lanes() + lanes_per_rank() - 1) / lanes_per_rank();
}

int LanePlan::present_ranks(int64_t index) const {
  const auto lanes_with = static_cast<int>((micro_batches - index + per_lane() - 1) / per_lane());
  return (lanes_with + lanes_per_rank() - 1) / lanes_per_rank();
}

int LanePlan::lane_buffers() const {
  return std::bit_width(static_cast<unsigned>(lanes_per_rank()));
}

namespace {

class Builder {
 public:
  explicit Builder(const ScheduleInput& input)
      : input_(input), head_(static_cast<int>(input.chain.size()) - 1) {
    ATHANOR_CHECK(head_ >= 1, "a chain has an embedding and a head");
    ATHANOR_CHECK(input.lanes.micro_batches >= 1, "a step without micro-batches");
    const int64_t per_lane = input.lanes.per_lane();
    const int64_t slots = input.lanes.slots();
    for (int64_t i = 0; i < slots; ++i) {
      const int64_t lanes = input.lanes.lanes_per_rank();
      order_.push_back(each_micro_step() ? i % lanes * per_lane + i / lanes : i);
    }
  }

  void add(int position, int64_t slot, Pass pass) {
    const ChainPosition& link = input_.chain[static_cast<size_t>(position)];
    Visit visit;
    visit.position = position;
    visit.unit = link.unit;
    visit.use = link.use;
    visit.slot = static_cast<int32_t>(slot);
    visit.micro_batch = static_cast<int32_t>(input_.lanes.micro_batch(input_.rank, slot));
    visit.lane = static_cast<int32_t>(int64_t{input_.rank} * input_.lanes.lanes_per_rank() +
                                      slot / input_.lanes.per_lane());
    visit.pass = pass;
    visits_.push_back(visit);
  }

  void backward(int position, int64_t slot) {
    // The embedding has nothing to recompute: its input are the token ids.
    if (input_.recompute && position > 0) add(position, slot, Pass::kRecompute);
    add(position, slot, Pass::kBackward);
  }

  void batch_major() {
    for (const int64_t slot : order_) {
      for (int position = 0; position < head_; ++position) add(position, slot, Pass::kForward);
      add(head_, slot, Pass::kLoss);
      for (int position = head_ - 1; position >= input_.first_backward; --position) {
        backward(position, slot);
      }
    }
  }

  void layer_major() {
    for (int position = 0; position < head_; ++position) {
      for (const int64_t slot : order_) add(position, slot, Pass::kForward);
    }
    for (const int64_t slot : order_) add(head_, slot, Pass::kLoss);
    for (int position = head_ - 1; position >= input_.first_backward; --position) {
      for (const int64_t slot : order_) backward(position, slot);
    }
  }

  void evaluate() {
    for (int64_t slot = 0; slot < input_.lanes.slots(); ++slot) {
      for (int position = 0; position <= head_; ++position) add(position, slot, Pass::kEvaluate);
    }
  }

  std::vector<Visit> finish() {
    mark_leases();
    mark_lanes();
    return std::move(visits_);
  }

 private:
  void mark_leases() {
    for (size_t i = 0; i < visits_.size(); ++i) {
      visits_[i].lease_begins = i == 0 || visits_[i - 1].unit != visits_[i].unit;
      visits_[i].lease_ends = i + 1 == visits_.size() || visits_[i + 1].unit != visits_[i].unit;
    }
  }

  bool each_micro_step() const { return input_.reduce == ReduceMode::kMicroStep; }

  // Contributions to a gradient come from loss and backward visits, in the order of the slots.
  void mark_lanes() {
    for (Visit& visit : visits_) {
      const bool trains = visit.pass == Pass::kLoss || visit.pass == Pass::kBackward;
      const bool no_backward = visit.position < input_.first_backward;
      visit.input_dies =
          visit.pass == Pass::kEvaluate || trains || (visit.pass == Pass::kForward && no_backward);
      if (!trains) continue;
      if (each_micro_step()) {
        mark_micro_step(visit);
      } else {
        mark_step(visit);
      }
    }
  }

  void mark_step(Visit& visit) const {
    const int64_t per_lane = input_.lanes.per_lane();
    visit.reduce = visit.slot == order_.back();
    visit.present_ranks = input_.lanes.present_ranks();
    if (visit.micro_batch == kAbsent) return;
    visit.lane_begins = visit.slot % per_lane == 0;
    const bool last_of_lane = visit.slot % per_lane == per_lane - 1;
    visit.lane_ends = last_of_lane || visit.micro_batch == input_.lanes.micro_batches - 1;
  }

  // Every micro-batch is a lane of its own; the reduction comes after those of all lanes.
  void mark_micro_step(Visit& visit) const {
    const int64_t per_lane = input_.lanes.per_lane();
    const int64_t index = visit.slot % per_lane;
    visit.reduce = visit.slot / per_lane == input_.lanes.lanes_per_rank() - 1;
    visit.reduced_before = index > 0;
    visit.present_ranks = input_.lanes.present_ranks(index);
    visit.lane_begins = visit.lane_ends = visit.micro_batch != kAbsent;
  }

  const ScheduleInput& input_;
  int head_;
  std::vector<int64_t> order_;  // of slots
  std::vector<Visit> visits_;
};

}  // namespace

std::vector<Visit> build_train_schedule(const ScheduleInput& input) {
  Builder builder(input);
  if (input.order == ScheduleOrder::kBatchMajor) {
    builder.batch_major();
  } else {
    builder.layer_major();
  }
  return builder.finish();
}

std::vector<Visit> build_evaluate_schedule(const ScheduleInput& input) {
  Builder builder(input);
  builder.evaluate();
  return builder.finish();
}

std::vector<int64_t> gathers_per_unit(const std::vector<Visit>& visits,
                                      const std::vector<bool>& unit_is_sharded, int slots) {
  std::vector<int64_t> counts(unit_is_sharded.size(), 0);
  std::vector<int> held;  // most recently used last
  for (const Visit& visit : visits) {
    if (!visit.lease_begins || !unit_is_sharded[static_cast<size_t>(visit.unit)]) continue;
    const auto found = std::find(held.begin(), held.end(), visit.unit);
    if (found != held.end()) {
      held.erase(found);
    } else {
      ++counts[static_cast<size_t>(visit.unit)];
      if (static_cast<int>(held.size()) == slots) held.erase(held.begin());
    }
    held.push_back(visit.unit);
  }
  return counts;
}

}  // namespace athanor

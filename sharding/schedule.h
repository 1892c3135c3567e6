// A schedule is data: a pure function turns the chain of units, the micro-batches and the lanes of
// a step into a list of visits. train_step is one loop over that list; prefetch, gather counts,
// memory and the plan are read from it. All ranks have equally long lists; where a rank has no
// micro-batch the visit is there with micro_batch = kAbsent, so that every rank enters every
// collective.
#pragma once

#include <cstdint>
#include <vector>

#include "sharding/param_spec.h"

namespace athanor {

enum class Pass { kForward, kLoss, kRecompute, kBackward, kEvaluate };
enum class ScheduleOrder { kBatchMajor, kLayerMajor };
// kStep: lanes sum their micro-batches, then combine once a step. kMicroStep: the lanes' i-th
// micro-batches combine, and the results add over i; no lane's sum is ever held.
enum class ReduceMode { kStep, kMicroStep };

inline constexpr int kAbsent = -1;

struct Visit {
  int32_t position = 0;  // in the chain
  int32_t unit = 0;
  int32_t use = 0;
  int32_t slot = 0;               // the rank's micro-batch slot in this step
  int32_t micro_batch = kAbsent;  // global index within the step
  int32_t lane = 0;               // global
  Pass pass = Pass::kForward;
  bool lease_begins = false;    // the previous visit is of another unit
  bool lease_ends = false;      // the next visit is of another unit
  bool lane_begins = false;     // first contribution of this lane to (unit, use)
  bool lane_ends = false;       // last contribution of this lane to (unit, use)
  bool reduce = false;          // the visit after which ranks combine the gradient of (unit, use)
  bool reduced_before = false;  // a reduction of (unit, use) in this step came before
  int32_t present_ranks = 0;    // of a reduction: ranks that contribute, the first ones
  bool input_dies = false;      // the input of this position is not read again for this slot
};

// How the micro-batches of a step are spread: M micro-batches form `lanes` contiguous lanes of
// ceil(M / lanes), the last ones short or empty; ranks own ceil(lanes / world) contiguous lanes.
struct LanePlan {
  int64_t micro_batches = 0;  // M, of this step
  int lanes = 1;
  int world_size = 1;

  int64_t per_lane() const { return (micro_batches + lanes - 1) / lanes; }
  int lanes_per_rank() const { return (lanes + world_size - 1) / world_size; }
  int64_t slots() const { return per_lane() * lanes_per_rank(); }  // of each rank
  // Global index of a rank's slot, or kAbsent. Slots count lane by lane, whatever the order in
  // which a schedule visits them.
  int64_t micro_batch(int rank, int64_t slot) const;
  // Lanes that have a micro-batch are the first ones; so are ranks that have one.
  int present_lanes() const;
  int present_ranks() const;
  // The same for the micro-batches that are number `index` of their lanes.
  int present_ranks(int64_t index) const;
  // Buffers a rank needs to combine its lanes along the pairwise tree.
  int lane_buffers() const;
};

struct ScheduleInput {
  std::vector<ChainPosition> chain;  // the last position is the head
  int first_backward = 0;            // lowest position whose unit has something to train
  LanePlan lanes;
  int rank = 0;
  ScheduleOrder order = ScheduleOrder::kBatchMajor;
  bool recompute = false;
  ReduceMode reduce = ReduceMode::kStep;
};

std::vector<Visit> build_train_schedule(const ScheduleInput& input);
// Forward only, one micro-batch after another; the head's visit computes the loss.
std::vector<Visit> build_evaluate_schedule(const ScheduleInput& input);

// How often each sharded unit is gathered when `slots` units fit at a time, least recently used
// first out, starting empty: the number that runs and plans must reproduce.
std::vector<int64_t> gathers_per_unit(const std::vector<Visit>& visits,
                                      const std::vector<bool>& unit_is_sharded, int slots);

}  // namespace athanor

// GradStore: float32 gradients of trained parameters, one slot per (unit, use).
//
// Contributions of a lane add in order into one buffer; lanes of this rank combine along the
// pairwise tree with a binary counter of lane_buffers() buffers; ranks combine on the communication
// stream when the unit's last visit of the step is over. What stays afterwards is the range that
// the optimizer of this rank needs. Where gradients are sharded and a rank sees each unit's
// contributions in one stretch (layer-major, or a single micro-batch), whole gradients live in two
// working sets only. Under ReduceMode::kMicroStep ranks combine several times a step, and the
// results add up in a buffer apart.
#pragma once

#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "sharding/comm/communicator.h"
#include "sharding/param_store.h"
#include "sharding/partition_table.h"
#include "sharding/schedule.h"
#include "sharding/zero_policy.h"

namespace athanor {

struct GradOptions {
  int lane_buffers = 1;      // of the fullest step
  bool one_stretch = false;  // a rank's contributions to a reduction come without others between
  ReduceMode reduce = ReduceMode::kStep;
};

class GradStore {
 public:
  GradStore(const std::vector<UnitSpec>& units, const PartitionTable& table,
            const std::vector<Placements>& placements, const GradOptions& options,
            const StoreContext& context);

  // Before a contribution: zeroes the lane's buffer when the lane begins.
  void begin(const Visit& visit);
  // The lane's gradient of one parameter: the parameter's shape, f32; undefined when it is frozen.
  Tensor grad(int unit, int use, int param) const;
  // After a contribution (or an absent visit): closes the lane, reduces where the visit says so.
  void end(const Visit& visit);
  // After the last visit: sums the uses. Gradients of `owned_range` are final afterwards.
  void finish();

  // Elements of the trainable part whose reduced gradient this rank holds, and that gradient.
  Range owned_range(int unit) const;
  Tensor owned_grad(int unit) const;

 private:
  struct Entry {
    Buffer whole;            // lane buffers back to back; empty where working sets are used
    Buffer total;            // the result, where it cannot stay in `whole`
    std::vector<int> level;  // binary counter: log2 of the lanes summed in buffer i
    int working = -1;
    Event reduced;
  };

  static size_t index(int i) { return static_cast<size_t>(i); }
  Entry& entry(int unit, int use) { return entries_[index(unit)][index(use)]; }
  const Entry& entry(int unit, int use) const { return entries_[index(unit)][index(use)]; }
  int64_t padded_elements(int unit) const;
  Tensor lane_buffer(int unit, const Entry& entry, int i) const;
  int64_t result_elements(int unit) const;
  void take_working_set(Entry& entry);
  void merge_top(int unit, Entry& entry);
  void reduce(const Visit& visit);
  void combine_ranks(const Visit& visit, const Entry& entry);
  Tensor result(int unit, const Entry& entry) const;

  const std::vector<UnitSpec>& units_;
  const PartitionTable& table_;
  std::vector<Placements> placements_;
  GradOptions options_;
  StoreContext context_;
  std::vector<std::vector<Entry>> entries_;
  Buffer landing_;  // a reduced shard on its way to `total`
  std::vector<Buffer> working_;
  std::vector<Event> working_free_;
  int next_working_ = 0;
};

}  // namespace athanor

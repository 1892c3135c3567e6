#include "sharding/zero_policy.h"

#include <string>

namespace athanor {

Placements zero_placements(int stage, int world_size, int64_t unit_parameters,
                           int64_t persist_below, const DiskPlacement& disk) {
  ATHANOR_CHECK(stage >= 0 && stage <= 3, "ZeRO stage " + std::to_string(stage));
  const auto sharded_from = [&](int first) {
    const bool sharded = stage >= first && world_size > 1;
    return Placement{sharded ? Layout::kSharded : Layout::kReplicated, Tier::kDevice};
  };
  Placements placements;
  placements.optimizer = sharded_from(1);
  placements.gradients = sharded_from(2);
  placements.parameters = sharded_from(3);
  if (disk.parameters) placements.parameters.tier = Tier::kDisk;
  if (disk.optimizer) placements.optimizer.tier = Tier::kDisk;
  if (disk.boundaries) placements.boundaries.tier = Tier::kDisk;
  if (unit_parameters < persist_below) placements.parameters = {};
  return placements;
}

}  // namespace athanor

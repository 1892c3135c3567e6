// The one place that knows ZeRO stage numbers (Rajbhandari et al., arXiv:1910.02054): a stage
// becomes placements, and nothing else asks for it.
#pragma once

#include <cstdint>

#include "core/buffer.h"

namespace athanor {

enum class Layout { kReplicated, kSharded };

struct Placement {
  Layout layout = Layout::kReplicated;
  Tier tier = Tier::kDevice;
  bool sharded() const { return layout == Layout::kSharded; }
  bool on_disk() const { return tier == Tier::kDisk; }
};

// Where the four states of a unit live.
struct Placements {
  Placement parameters;
  Placement gradients;
  Placement optimizer;
  Placement boundaries;  // inputs of blocks kept for the backward pass
};

// Which states lie on disk.
struct DiskPlacement {
  bool parameters = false;
  bool optimizer = false;
  bool boundaries = false;
};

// `unit_parameters`: elements of the unit; below `persist_below` its parameters stay replicated,
// in memory.
// One rank has nothing to shard: every stage is then the same, without slots and copies.
Placements zero_placements(int stage, int world_size, int64_t unit_parameters,
                           int64_t persist_below, const DiskPlacement& disk = {});

}  // namespace athanor

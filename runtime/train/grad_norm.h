// GradNorm: the global gradient norm and the clip scale, on the stream, with the same bits for
// every placement: squares are summed in blocks of 1,024, blocks by the pairwise tree of their unit
// in float64, units in order. Ranks exchange only the roots of their maximal aligned subtrees.
#pragma once

#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "kernels/step_scalars.h"
#include "sharding/grad_store.h"
#include "sharding/param_store.h"
#include "sharding/partition_table.h"

namespace athanor {

class GradNorm {
 public:
  GradNorm(const PartitionTable& table, const std::vector<Placements>& placements,
           const StoreContext& context);

  // *norm = sqrt(sum of squares); scalars->clip_scale = min(1, max_norm / (norm + 1e-6)) as torch's
  // clip_grad_norm_, or 1 when max_norm is 0.
  void compute(const GradStore& grads, double max_norm, double* norm, StepScalars* scalars);

 private:
  struct Node {  // a subtree root that a rank sends
    int64_t begin = 0;
    int64_t count = 0;
    int rank = 0;
    int slot = 0;  // among the rank's roots
  };
  struct UnitTree {
    int unit = 0;
    int64_t blocks = 0;
    std::vector<Node> nodes;  // by begin
  };
  double combine(const UnitTree& tree, const double* roots, int64_t begin, int64_t count) const;
  void finish(double max_norm, double* norm, StepScalars* scalars) const;

  const PartitionTable& table_;
  StoreContext context_;
  std::vector<UnitTree> trees_;
  std::vector<int> roots_used_;  // by rank
  int64_t roots_per_rank_ = 0;
  Buffer block_sums_;
  Buffer roots_;  // W * roots_per_rank f64
};

}  // namespace athanor

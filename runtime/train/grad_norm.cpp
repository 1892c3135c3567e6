#include "runtime/train/grad_norm.h"

#include <algorithm>
#include <cmath>

#include "core/pairwise.h"
#include "kernels/optimizer/optimizer.h"

namespace athanor {

GradNorm::GradNorm(const PartitionTable& table, const std::vector<Placements>& placements,
                   const StoreContext& context)
    : table_(table), context_(context) {
  const int world = table.world_size();
  std::vector<int> used(static_cast<size_t>(world), 0);
  int64_t most_blocks = 0;
  for (int unit = 0; unit < table.num_units(); ++unit) {
    const int64_t blocks = table.unit(unit).trainable_elements / kSumBlock;
    if (blocks == 0) continue;
    UnitTree tree{unit, blocks, {}};
    const bool sharded = placements[static_cast<size_t>(unit)].optimizer.sharded();
    for (int rank = 0; rank < (sharded ? world : 1); ++rank) {
      const Range range = sharded ? table.trainable_range(unit, rank)
                                  : Range{0, table.unit(unit).trainable_elements};
      for_each_subtree(
          range.begin / kSumBlock, range.end / kSumBlock, blocks,
          [&](int64_t begin, int64_t count) {
            // A replicated gradient is summed by every rank for itself.
            const int owner = sharded ? rank : context.communicator.rank();
            tree.nodes.push_back({begin, count, owner, used[static_cast<size_t>(owner)]++});
          });
      most_blocks = std::max(most_blocks, range.size() / kSumBlock);
    }
    trees_.push_back(std::move(tree));
  }
  roots_per_rank_ = *std::max_element(used.begin(), used.end());
  block_sums_ = Buffer(context.device, most_blocks * 8);
  roots_ = Buffer(context.device, roots_per_rank_ * world * 8);
}

double GradNorm::combine(const UnitTree& tree, const double* roots, int64_t begin,
                         int64_t count) const {
  const auto found =
      std::lower_bound(tree.nodes.begin(), tree.nodes.end(), begin,
                       [](const Node& node, int64_t wanted) { return node.begin < wanted; });
  if (found != tree.nodes.end() && found->begin == begin && found->count == count) {
    return roots[found->rank * roots_per_rank_ + found->slot];
  }
  const int64_t left = tree_split(count);
  return combine(tree, roots, begin, left) + combine(tree, roots, begin + left, count - left);
}

void GradNorm::finish(double max_norm, double* norm, StepScalars* scalars) const {
  const auto* roots = reinterpret_cast<const double*>(roots_.data());
  double squares = 0;
  for (const UnitTree& tree : trees_) squares += combine(tree, roots, 0, tree.blocks);
  *norm = std::sqrt(squares);
  scalars->clip_scale = max_norm > 0 ? std::min(1.0, max_norm / (*norm + 1e-6)) : 1.0;
}

void GradNorm::compute(const GradStore& grads, double max_norm, double* norm,
                       StepScalars* scalars) {
  const int rank = context_.communicator.rank();
  auto* sums = reinterpret_cast<double*>(block_sums_.data());
  auto* own_roots = reinterpret_cast<double*>(roots_.data()) + rank * roots_per_rank_;
  for (const UnitTree& tree : trees_) {
    const Range owned = grads.owned_range(tree.unit);
    if (owned.size() == 0) continue;
    block_square_sums(sums, grads.owned_grad(tree.unit), context_.compute);
    const UnitTree* nodes = &tree;
    const int64_t first = owned.begin / kSumBlock;
    context_.compute.submit(Cost{"norm_roots"}, [=](ExecContext&) {
      for (const Node& node : nodes->nodes) {
        if (node.rank != rank) continue;
        own_roots[node.slot] = tree_reduce(
            node.begin - first, node.count, [&](int64_t block) { return sums[block]; },
            [](double a, double b) { return a + b; });
      }
    });
  }
  context_.communication.wait(context_.compute.record());
  context_.communicator.all_gather(roots_.data(), own_roots, roots_per_rank_ * 8,
                                   context_.communication);
  context_.compute.wait(context_.communication.record());
  const GradNorm* self = this;
  context_.compute.submit(Cost{"norm"},
                          [=](ExecContext&) { self->finish(max_norm, norm, scalars); });
}

}  // namespace athanor

#include "runtime/optim/optimizer.h"

#include <algorithm>

namespace athanor {

void update_unit(const OptimizerOptions& options, const UnitSpec& spec,
                 const UnitPartition& partition, int unit, const GradStore& grads,
                 const OptimizerStateStore& states, const StepScalars* scalars, Stream& stream) {
  const Range owned = states.owned_range(unit);
  const Tensor grad = grads.owned_grad(unit);
  const Tensor master = states.master(unit);
  const Tensor working = states.working(unit);
  for (size_t i = 0; i < spec.params.size(); ++i) {
    const ParamPlace& place = partition.params[i];
    if (!place.trainable) continue;
    const int64_t begin = std::max(owned.begin, place.offset);
    const int64_t count = std::min(owned.end, place.offset + place.numel) - begin;
    if (count <= 0) continue;
    const auto part = [&](const Tensor& whole) {
      return whole.defined() ? whole.rows(begin - owned.begin, count) : Tensor{};
    };
    const double decay = spec.params[i].weight_decay ? options.weight_decay : 0.0;
    if (options.kind == OptimizerKind::kAdamW) {
      adamw_update(part(working), part(master), part(states.moment(unit, 0)),
                   part(states.moment(unit, 1)), part(grad), options.adamw, decay, scalars, stream);
    } else {
      sgd_update(part(working), part(master), part(grad), decay, scalars, stream);
    }
  }
}

}  // namespace athanor

#include "runtime/optim/optimizer.h"

#include <algorithm>

#include "kernels/optimizer/eight_bit.h"

namespace athanor {

MomentLayout OptimizerOptions::moments() const {
  switch (kind) {
    case OptimizerKind::kAdamW:
      return {.count = 2};
    case OptimizerKind::kAdamW8Bit:
      return {.count = 2, .block = kEightBitBlock, .block_bytes = sizeof(EightBitBlock)};
    case OptimizerKind::kLion:
      return {.count = 1};
    case OptimizerKind::kSgd:
      return {.count = 0};
  }
  throw Error(ErrorKind::kInternal, "moments: not an OptimizerKind");
}

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
    const auto moment = [&](int index) {
      const MomentLayout& layout = states.moments();
      return states.moment(unit, index)
          .rows((begin - owned.begin) / layout.block, layout.blocks(count));
    };
    const double decay = spec.params[i].weight_decay ? options.weight_decay : 0.0;
    const Tensor w = part(master);
    switch (options.kind) {
      case OptimizerKind::kAdamW:
        adamw_update(part(working), w, moment(0), moment(1), part(grad), options.adamw, decay,
                     scalars, stream);
        break;
      case OptimizerKind::kAdamW8Bit:
        adamw8_update(part(working), w, moment(0), moment(1), part(grad), options.adamw, decay,
                      scalars, stream);
        break;
      case OptimizerKind::kLion:
        lion_update(part(working), w, moment(0), part(grad), options.adamw, decay, scalars, stream);
        break;
      case OptimizerKind::kSgd:
        sgd_update(part(working), w, part(grad), decay, scalars, stream);
        break;
    }
  }
}

}  // namespace athanor

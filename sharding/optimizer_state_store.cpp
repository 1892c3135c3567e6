#include "sharding/optimizer_state_store.h"

#include <algorithm>

#include "kernels/elementwise/elementwise.h"

namespace athanor {

OptimizerStateStore::OptimizerStateStore(const std::vector<UnitSpec>& units,
                                         const PartitionTable& table,
                                         const std::vector<Placements>& placements,
                                         ParamStore& params, int moments,
                                         const StoreContext& context)
    : units_(units),
      table_(table),
      placements_(placements),
      params_(params),
      context_(context),
      entries_(units.size()) {
  for (int unit = 0; unit < table.num_units(); ++unit) {
    const int64_t bytes = owned_range(unit).size() * 4;
    if (table.unit(unit).trainable_elements == 0) continue;
    Entry& entry = entries_[index(unit)];
    if (params.dtype() != DType::kF32) entry.master = Buffer(context.device, bytes);
    for (int i = 0; i < moments; ++i) {
      entry.moments.emplace_back(context.device, bytes);
      fill_zero(entry.moments.back().view(DType::kF32, {bytes / 4}), context.compute);
    }
  }
}

Range OptimizerStateStore::owned_range(int unit) const {
  if (placements_[index(unit)].optimizer.sharded()) {
    return table_.trainable_range(unit, context_.communicator.rank());
  }
  return {0, table_.unit(unit).trainable_elements};
}

Tensor OptimizerStateStore::master(int unit) const {
  const Range owned = owned_range(unit);
  const Entry& entry = entries_[index(unit)];
  if (entry.master.defined()) return entry.master.view(DType::kF32, {owned.size()});
  return params_.stored_trainable(unit, owned);
}

Tensor OptimizerStateStore::moment(int unit, int i) const {
  return entries_[index(unit)].moments[index(i)].view(DType::kF32, {owned_range(unit).size()});
}

Tensor OptimizerStateStore::working(int unit) const {
  if (!entries_[index(unit)].master.defined()) return {};
  return params_.stored_trainable(unit, owned_range(unit));
}

void OptimizerStateStore::load(ParamSource* source) {
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    if (!entries_[index(unit)].master.defined()) continue;
    const Range owned = owned_range(unit);
    const Tensor target = master(unit);
    fill_zero(target, context_.compute);
    for (size_t i = 0; i < units_[index(unit)].params.size(); ++i) {
      const ParamSpec* param = &units_[index(unit)].params[i];
      if (!param->trainable) continue;
      const ParamPlace& place = table_.unit(unit).params[i];
      const int64_t begin = std::max(owned.begin, place.offset);
      const int64_t end = std::min(owned.end, place.offset + place.numel);
      if (begin >= end) continue;
      void* dst = target.rows(begin - owned.begin, end - begin).raw();
      const int64_t first = begin - place.offset;
      const int64_t count = end - begin;
      context_.compute.submit(Cost{"load", 0, 0, count * 4}, [=](ExecContext&) {
        source->read(*param, first, count, DType::kF32, dst);
      });
    }
  }
  context_.compute.synchronize();
}

}  // namespace athanor

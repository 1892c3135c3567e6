#include "runtime/checkpoint/state_shard.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <span>

#include "kernels/elementwise/elementwise.h"
#include "runtime/checkpoint/hashed_file.h"

namespace athanor {
namespace {

// State on disk is in its working set as long as this lives.
class HeldState {
 public:
  HeldState(OptimizerStateStore& states, int unit) : states_(states), unit_(unit) {
    states_.acquire(unit);
  }
  ~HeldState() { states_.release(unit_, false); }
  HeldState(const HeldState&) = delete;
  HeldState& operator=(const HeldState&) = delete;
  int unit() const { return unit_; }

 private:
  OptimizerStateStore& states_;
  int unit_;
};

size_t at(int index) { return static_cast<size_t>(index); }

std::vector<int64_t> dimensions(const Shape& shape) {
  std::vector<int64_t> list;
  for (int axis = 0; axis < shape.rank(); ++axis) list.push_back(shape[axis]);
  return list;
}

}  // namespace

std::vector<ShardPiece> shard_pieces(const PartitionTable& table, int rank) {
  std::vector<ShardPiece> pieces;
  for (int unit = 0; unit < table.num_units(); ++unit) {
    const Range range = table.trainable_range(unit, rank);
    const std::vector<ParamPlace>& params = table.unit(unit).params;
    for (size_t i = 0; i < params.size(); ++i) {
      if (!params[i].trainable) continue;
      const int64_t begin = std::max(range.begin, params[i].offset);
      const int64_t end = std::min(range.end, params[i].offset + params[i].numel);
      if (begin >= end) continue;
      pieces.push_back(
          {unit, static_cast<int>(i), begin - params[i].offset, end - begin, begin - range.begin});
    }
  }
  return pieces;
}

std::vector<std::string> state_names(int moments) {
  if (moments == 0) return {"master"};
  if (moments == 1) return {"master", "momentum"};
  ATHANOR_CHECK(moments == 2, std::to_string(moments) + " moments have no names");
  return {"master", "exp_avg", "exp_avg_sq"};
}

std::string shard_tensor_name(const std::string& state, const std::string& param) {
  return state + "/" + param;
}

std::string shard_file_name(int rank, int world_size) {
  char name[64];
  std::snprintf(name, sizeof name, "state-%05d-of-%05d.safetensors", rank, world_size);
  return name;
}

std::vector<TensorLayout> tensor_layout(const std::vector<UnitSpec>& units,
                                        const PartitionTable& table) {
  std::vector<std::vector<TensorLayout>> of_unit(units.size());
  for (size_t unit = 0; unit < units.size(); ++unit) {
    for (const ParamSpec& param : units[unit].params) {
      of_unit[unit].push_back({param.name, dimensions(param.shape), {}});
    }
  }
  for (int rank = 0; rank < table.world_size(); ++rank) {
    for (const ShardPiece& piece : shard_pieces(table, rank)) {
      of_unit[at(piece.unit)][at(piece.param)].pieces.push_back({rank, piece.begin, piece.count});
    }
  }
  std::vector<TensorLayout> layout;
  for (std::vector<TensorLayout>& params : of_unit) {
    for (TensorLayout& param : params) {
      if (!param.pieces.empty()) layout.push_back(std::move(param));
    }
  }
  return layout;
}

StateShard::StateShard(const std::vector<UnitSpec>& units, const PartitionTable& table,
                       OptimizerStateStore& states, const StoreContext& context, bool keeps_copy)
    : units_(units),
      table_(table),
      states_(states),
      context_(context),
      pieces_(shard_pieces(table, context.communicator.rank())),
      arrays_(1 + states.moments()) {
  int64_t elements = 0;
  for (int unit = 0; unit < table.num_units(); ++unit) {
    in_copy_.push_back(elements);
    elements += share(unit).size() * arrays_;
  }
  if (keeps_copy) copy_ = Buffer(context.device, std::max<int64_t>(elements * 4, kAlignment));
}

Range StateShard::share(int unit) const {
  return table_.trainable_range(unit, context_.communicator.rank());
}

Tensor StateShard::copied(int unit, int state) const {
  const int64_t size = share(unit).size();
  return copy_.view(DType::kF32, {size}, (in_copy_[at(unit)] + state * size) * 4);
}

// The share's part of what this rank updates, which may be more.
Tensor StateShard::state(int unit, int index) const {
  const Tensor owned = index == 0 ? states_.master(unit) : states_.moment(unit, index - 1);
  return owned.rows(share(unit).begin - states_.owned_range(unit).begin, share(unit).size());
}

void StateShard::capture() {
  ATHANOR_CHECK(keeps_copy(), "no memory for a copy of the state");
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    if (share(unit).size() == 0) continue;
    const HeldState held(states_, unit);
    for (int i = 0; i < arrays_; ++i) copy(copied(unit, i), state(unit, i), context_.compute);
  }
  context_.compute.synchronize();
}

void StateShard::write_piece(const ShardPiece& piece, int index, HashedFile& file) {
  const Tensor whole = keeps_copy() ? copied(piece.unit, index) : state(piece.unit, index);
  const Tensor part = whole.rows(piece.in_shard, piece.count);
  file.append(
      std::span(static_cast<const std::byte*>(part.raw()), static_cast<size_t>(part.bytes())));
}

FileRecord StateShard::write(const std::filesystem::path& folder) {
  const std::vector<std::string> names = state_names(arrays_ - 1);
  std::vector<TensorDecl> tensors;
  int64_t bytes = 0;
  for (const ShardPiece& piece : pieces_) {
    const ParamSpec& param = units_[at(piece.unit)].params[at(piece.param)];
    const bool whole = piece.count == param.shape.numel();
    for (const std::string& state : names) {
      tensors.push_back({shard_tensor_name(state, param.name), DType::kF32,
                         whole ? dimensions(param.shape) : std::vector{piece.count}});
      bytes += piece.count * 4;
    }
  }
  const std::string header = safetensors_header(tensors, {{"format", "pt"}});
  HashedFile file(folder / shard_file_name(context_.communicator.rank(), table_.world_size()),
                  std::ssize(header) + bytes);
  file.append(std::as_bytes(std::span(header)));
  std::optional<HeldState> held;
  for (const ShardPiece& piece : pieces_) {
    if (!keeps_copy() && (!held || held->unit() != piece.unit)) {
      held.reset();
      held.emplace(states_, piece.unit);
      context_.compute.synchronize();
    }
    for (int index = 0; index < arrays_; ++index) write_piece(piece, index, file);
  }
  return file.finish();
}

}  // namespace athanor

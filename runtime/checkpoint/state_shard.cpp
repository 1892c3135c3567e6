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

std::vector<std::string> state_names(const MomentLayout& moments) {
  std::vector<std::string> names = {"master"};
  const std::string bits = moments.dtype() == DType::kF32 ? "" : "_8bit";
  if (moments.count == 1) names.push_back("momentum" + bits);
  if (moments.count == 2) names.insert(names.end(), {"exp_avg" + bits, "exp_avg_sq" + bits});
  ATHANOR_CHECK(std::ssize(names) == 1 + moments.count,
                std::to_string(moments.count) + " moments have no names");
  return names;
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
      arrays_(1 + states.moments().count) {
  int64_t bytes = 0;
  for (int unit = 0; unit < table.num_units(); ++unit) {
    in_copy_.push_back(bytes);
    for (int i = 0; i < arrays_; ++i) bytes += layout_of(i).bytes(share(unit).size());
  }
  if (keeps_copy) copy_ = Buffer(context.device, std::max<int64_t>(bytes, kAlignment));
}

Range StateShard::share(int unit) const {
  return table_.trainable_range(unit, context_.communicator.rank());
}

MomentLayout StateShard::layout_of(int state) const {
  return state == 0 ? MomentLayout{.count = 1} : states_.moments();
}

Tensor StateShard::copied(int unit, int state) const {
  const int64_t size = share(unit).size();
  int64_t offset = in_copy_[at(unit)];
  for (int i = 0; i < state; ++i) offset += layout_of(i).bytes(size);
  return copy_.view(layout_of(state).dtype(), layout_of(state).shape(size), offset);
}

// The share's part of what this rank updates, which may be more.
Tensor StateShard::state(int unit, int index) const {
  const Tensor owned = index == 0 ? states_.master(unit) : states_.moment(unit, index - 1);
  const MomentLayout layout = layout_of(index);
  return owned.rows((share(unit).begin - states_.owned_range(unit).begin) / layout.block,
                    layout.blocks(share(unit).size()));
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
  const MomentLayout layout = layout_of(index);
  const Tensor part = whole.rows(piece.in_shard / layout.block, layout.blocks(piece.count));
  file.append(
      std::span(static_cast<const std::byte*>(part.raw()), static_cast<size_t>(part.bytes())));
}

FileRecord StateShard::write(const std::filesystem::path& folder) {
  const std::vector<std::string> names = state_names(states_.moments());
  std::vector<TensorDecl> tensors;
  int64_t bytes = 0;
  for (const ShardPiece& piece : pieces_) {
    const ParamSpec& param = units_[at(piece.unit)].params[at(piece.param)];
    const bool whole = piece.count == param.shape.numel();
    for (int i = 0; i < arrays_; ++i) {
      const MomentLayout layout = layout_of(i);
      const Shape shape = whole && layout.block == 1 ? param.shape : layout.shape(piece.count);
      tensors.push_back(
          {shard_tensor_name(names[at(i)], param.name), layout.dtype(), dimensions(shape)});
      bytes += layout.bytes(piece.count);
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

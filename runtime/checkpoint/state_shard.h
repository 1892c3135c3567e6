// A rank's share of a checkpoint: masters and moments of the ranges that the partition table gives
// to the rank, whatever the ZeRO stage. So a shard depends on the world size and on nothing else of
// the placement, and replicated state is written once, by all ranks together.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/io/safetensors_writer.h"
#include "sharding/optimizer_state_store.h"
#include "sharding/partition_table.h"

namespace athanor {

// Elements [begin, begin + count) of a parameter, which a rank's range of its unit covers.
struct ShardPiece {
  int unit = 0;
  int param = 0;
  int64_t begin = 0;
  int64_t count = 0;
  int64_t in_shard = 0;  // elements from the start of the rank's range
};
std::vector<ShardPiece> shard_pieces(const PartitionTable& table, int rank);

// "master", then the moments' names as torch has them, with their bits where those are not 32.
std::vector<std::string> state_names(const MomentLayout& moments);
// Name of an array in a shard.
std::string shard_tensor_name(const std::string& state, const std::string& param);
std::string shard_file_name(int rank, int world_size);
// Of all trained tensors; file index = rank.
std::vector<TensorLayout> tensor_layout(const std::vector<UnitSpec>& units,
                                        const PartitionTable& table);

class StateShard {
 public:
  // `keeps_copy`: takes memory for a copy of the share, from which write() may run beside training.
  // Without it write() reads the state itself; state on disk then comes through its working sets,
  // unit by unit.
  StateShard(const std::vector<UnitSpec>& units, const PartitionTable& table,
             OptimizerStateStore& states, const StoreContext& context, bool keeps_copy);

  bool keeps_copy() const { return copy_.defined(); }
  // Copies the share; returns when it is done.
  void capture();
  // Writes the shard into `folder`. With a copy any thread may call it, until the next capture.
  FileRecord write(const std::filesystem::path& folder);

 private:
  Range share(int unit) const;
  // Of state 0, the master, and of a moment.
  MomentLayout layout_of(int state) const;
  Tensor copied(int unit, int state) const;
  Tensor state(int unit, int index) const;
  void write_piece(const ShardPiece& piece, int index, class HashedFile& file);

  const std::vector<UnitSpec>& units_;
  const PartitionTable& table_;
  OptimizerStateStore& states_;
  StoreContext context_;
  std::vector<ShardPiece> pieces_;
  int arrays_ = 1;                // master and moments
  std::vector<int64_t> in_copy_;  // by unit: bytes from the start of the copy
  Buffer copy_;
};

}  // namespace athanor

// Communicator: stream-ordered collectives between ranks. All ranks submit the same collectives in
// the same order (the order of the visit list). Sums are float32 along the pairwise tree over the
// rank index (core/pairwise.h), so that their bits do not depend on the transport.
//
// Counts and payload bytes are kept here, so that a plan and a run can be compared by the same
// code.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "core/activity.h"
#include "core/buffer.h"
#include "core/stream.h"
#include "core/tensor.h"

namespace athanor {

struct CollectiveCount {
  int64_t count = 0;
  int64_t bytes = 0;  // received by this rank
};

class Communicator {
 public:
  Communicator(int rank, int world_size) : rank_(rank), world_size_(world_size) {}
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int world_size() const { return world_size_; }

  // out: W blocks of `block_bytes`; block r comes from rank r. This rank's block may already be in
  // place (in == out + rank * block_bytes).
  void all_gather(void* out, const void* in, int64_t block_bytes, Stream& stream);
  // in: [W * n] f32; out: [n] f32 = tree sum over the first `present` ranks of their block `rank`.
  // out may be this rank's own block of in. Ranks >= present take part, their input is not read.
  void reduce_scatter(Tensor out, ConstTensor in, int present, Stream& stream);
  // inout: [W * n] f32, the tree sum over the first `present` ranks, on every rank.
  void all_reduce(Tensor inout, int present, Stream& stream);
  void barrier(Stream& stream);

  // Host channel: blocking, for small control messages. out: W blocks.
  void all_gather_host(std::span<std::byte> out, std::span<const std::byte> in, Stream& stream);
  int64_t sum_host(int64_t value, Stream& stream);
  int64_t max_host(int64_t value, Stream& stream);

  // Every pending and later call on any rank fails with kLostPeer; where ranks are processes they
  // end, and their launcher reports `exit_code`.
  virtual void abort(const std::string& reason, int exit_code) noexcept = 0;

  // Where rounds between processes are counted, before the first one. It outlives this object.
  void observe(Activity* activity) { activity_ = activity; }

  const std::map<std::string, CollectiveCount>& counts() const { return counts_; }
  void clear_counts() { counts_.clear(); }

 protected:
  Activity* activity() const { return activity_; }  // null: nobody watches
  virtual void do_all_gather(void* out, const void* in, int64_t block_bytes, Stream& stream) = 0;
  virtual void do_reduce_scatter(float* out, const float* in, int64_t n, int present,
                                 Stream& stream) = 0;
  virtual void do_barrier(Stream& stream) = 0;

 private:
  void count(const char* name, int64_t bytes);

  int rank_;
  int world_size_;
  Activity* activity_ = nullptr;
  std::map<std::string, CollectiveCount> counts_;
};

// sum[i] = tree sum over operands[r][i], r < count. sum may be operands[r] for one r if i is read
// before it is written, which the implementation guarantees chunk by chunk.
void tree_sum(float* sum, const float* const* operands, int count, int64_t n);

// One rank: nothing to do, but the same checks and counts.
std::unique_ptr<Communicator> make_solo_communicator();
// A plan's stand-in for any rank of any world: counts, touches nothing. `staging_bytes` are
// allocated from `allocator` as the real transport would.
std::unique_ptr<Communicator> make_counting_communicator(int rank, int world_size,
                                                         Allocator& allocator,
                                                         int64_t staging_bytes);

}  // namespace athanor

// What communicators of ranks that are processes share: sums in chunks of 256 KiB a peer, exchanged
// point to point and added along the pairwise tree. Only the exchange depends on the transport, so
// the bits do not.
#pragma once

#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "core/stream.h"
#include "sharding/comm/communicator.h"

namespace athanor {

// Bytes of staging that a reduction between processes needs on each rank.
int64_t exchange_staging_bytes(int world_size);

class ExchangeCommunicator : public Communicator {
 protected:
  ExchangeCommunicator(int rank, int world_size, Allocator& allocator);

  void do_reduce_scatter(float* out, const float* in, int64_t n, int present, Stream& stream) final;

  // One round: in + peer * stride, `count` floats, goes to each peer if this rank is one of the
  // first `present`; of each peer among those as many arrive in staging(peer).
  virtual void exchange_chunk(const float* in, int64_t stride, int64_t count, int present) = 0;

  float* staging(int peer) const;

  // In an order that starts behind this rank, so that not all send to the same one first.
  template <class Body>
  void for_peers(const Body& body) const {
    for (int step = 1; step < world_size(); ++step) body((rank() + step) % world_size());
  }

 private:
  void reduce_chunk(float* out, const float* in, int64_t stride, int64_t count, int present);

  Buffer staging_;
  std::vector<const float*> operands_;
};

}  // namespace athanor

#include "sharding/comm/exchange_communicator.h"

#include <algorithm>

namespace athanor {
namespace {

constexpr int64_t kChunkFloats = int64_t{64} << 10;  // per peer and round: 256 KiB

}  // namespace

int64_t exchange_staging_bytes(int world_size) { return world_size * kChunkFloats * 4; }

ExchangeCommunicator::ExchangeCommunicator(int rank, int world_size, Allocator& allocator)
    : Communicator(rank, world_size),
      staging_(allocator, exchange_staging_bytes(world_size)),
      operands_(static_cast<size_t>(world_size)) {}

float* ExchangeCommunicator::staging(int peer) const {
  return reinterpret_cast<float*>(staging_.data()) + peer * kChunkFloats;
}

void ExchangeCommunicator::do_reduce_scatter(float* out, const float* in, int64_t n, int present,
                                             Stream& stream) {
  stream.submit(Cost{"reduce_scatter", 0, n * 4 * (world_size() - 1), n * 4},
                [this, out, in, n, present](ExecContext&) {
                  for (int64_t offset = 0; offset < n; offset += kChunkFloats) {
                    reduce_chunk(out + offset, in + offset, n, std::min(kChunkFloats, n - offset),
                                 present);
                  }
                });
}

void ExchangeCommunicator::reduce_chunk(float* out, const float* in, int64_t stride, int64_t count,
                                        int present) {
  exchange_chunk(in, stride, count, present);
  for (int r = 0; r < present; ++r) {
    operands_[static_cast<size_t>(r)] = r == rank() ? in + r * stride : staging(r);
  }
  tree_sum(out, operands_.data(), present, count);
}

}  // namespace athanor

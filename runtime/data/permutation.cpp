// Fisher-Yates over SplitMix64 used as a counter-based generator: draw i of a stream is a hash of
// (seed, stream, i).
#include "runtime/data/permutation.h"

#include <numeric>
#include <utility>

namespace athanor {
namespace {

uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

}  // namespace

std::vector<int64_t> permutation(int64_t n, uint64_t seed, uint64_t stream) {
  const uint64_t key = mix(mix(seed) ^ stream);
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t i = n - 1; i > 0; --i) {
    // The remainder's bias is below n / 2^64.
    const uint64_t draw = mix(key + static_cast<uint64_t>(i));
    std::swap(order[i], order[static_cast<int64_t>(draw % (static_cast<uint64_t>(i) + 1))]);
  }
  return order;
}

double random_share(uint64_t index, uint64_t seed, uint64_t stream) {
  return static_cast<double>(mix(mix(mix(seed) ^ stream) + index) >> 11) * 0x1p-53;
}

}  // namespace athanor

// Shuffles that are the same on every platform and need no state between calls.
#pragma once

#include <cstdint>
#include <vector>

namespace athanor {

// A permutation of [0, n) that depends on (n, seed, stream) only.
std::vector<int64_t> permutation(int64_t n, uint64_t seed, uint64_t stream);

// A number in [0, 1) that depends on (index, seed, stream) only.
double random_share(uint64_t index, uint64_t seed, uint64_t stream);

}  // namespace athanor

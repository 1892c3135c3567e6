// Interleaving as the datasets library does it (first_exhausted, all_exhausted), with own draws.
#include "runtime/data/mix.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "core/error.h"
#include "runtime/data/permutation.h"

namespace athanor {
namespace {

constexpr uint64_t kMixStream = (uint64_t{1} << 63) + 1;

// The set whose share of [0, sum) holds `share` * sum.
int64_t drawn_set(const std::vector<double>& shares, double share) {
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  double end = 0;
  for (size_t set = 0; set < shares.size(); ++set) {
    end += shares[set];
    if (share * sum < end) return static_cast<int64_t>(set);
  }
  return static_cast<int64_t>(shares.size()) - 1;
}

}  // namespace

void check_mix(const DataOptions& options) {
  const std::vector<double>& shares = options.interleave_probs;
  if (shares.empty()) return;
  const auto fail = [](const std::string& message) {
    throw Error(ErrorKind::kConfig, "interleave_probs: " + message);
  };
  if (options.mix == Mix::kConcat) fail("needs mix_strategy interleave_under or interleave_over");
  if (shares.size() != options.datasets.size()) {
    fail("has " + std::to_string(shares.size()) + " numbers for " +
         std::to_string(options.datasets.size()) + " datasets");
  }
  for (const double share : shares) {
    if (!(share > 0) || !std::isfinite(share)) fail("expected numbers above 0");
  }
}

std::vector<MixedRecord> mix_records(const std::vector<int64_t>& sizes,
                                     const DataOptions& options) {
  const int64_t sets = static_cast<int64_t>(sizes.size());
  std::vector<MixedRecord> order;
  if (options.mix == Mix::kConcat) {
    for (int64_t set = 0; set < sets; ++set) {
      for (int64_t record = 0; record < sizes[set]; ++record) order.push_back({set, record});
    }
    return order;
  }
  for (int64_t set = 0; set < sets; ++set) {
    if (sizes[set] > 0) continue;
    throw Error(ErrorKind::kConfig, "mix_strategy: " + options.datasets[set] +
                                        " has no record to train on, so it cannot be interleaved");
  }
  std::vector<int64_t> taken(sizes.size(), 0);
  int64_t used_up = 0;
  const int64_t until = options.mix == Mix::kInterleaveUnder ? 1 : sets;
  for (uint64_t draw = 0; used_up < until; ++draw) {
    const int64_t set =
        options.interleave_probs.empty()
            ? static_cast<int64_t>(draw % static_cast<uint64_t>(sets))
            : drawn_set(options.interleave_probs, random_share(draw, options.seed, kMixStream));
    order.push_back({set, taken[set] % sizes[set]});
    if (++taken[set] == sizes[set]) ++used_up;
  }
  return order;
}

}  // namespace athanor

// Configurations such that every pair of levels of every two factors occurs in at least one.
#pragma once

#include <vector>

namespace athanor::testing {

// levels[f]: how many levels factor f has. Rows hold one level a factor. Greedy, deterministic.
std::vector<std::vector<int>> pairwise_cover(const std::vector<int>& levels);

// Pairs (factor, level, factor, level) that no row has.
int uncovered_pairs(const std::vector<int>& levels, const std::vector<std::vector<int>>& rows);

}  // namespace athanor::testing

// Each row starts from the first pair that is still missing; then the factors, those with most
// levels first, take the level that adds most missing pairs with what the row has so far.
#include "tests/multirank/covering_array.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <set>
#include <utility>

namespace athanor::testing {
namespace {

using Choice = std::pair<int, int>;  // factor, level
using Pairs = std::set<std::pair<Choice, Choice>>;

std::pair<Choice, Choice> ordered(Choice a, Choice b) { return {std::min(a, b), std::max(a, b)}; }

Pairs all_pairs(const std::vector<int>& levels) {
  Pairs pairs;
  const int factors = static_cast<int>(levels.size());
  for (int f = 0; f < factors; ++f) {
    for (int g = f + 1; g < factors; ++g) {
      for (int a = 0; a < levels[static_cast<size_t>(f)]; ++a) {
        for (int b = 0; b < levels[static_cast<size_t>(g)]; ++b) pairs.insert({{f, a}, {g, b}});
      }
    }
  }
  return pairs;
}

void remove_covered(Pairs& missing, const std::vector<int>& row) {
  for (int f = 0; f < static_cast<int>(row.size()); ++f) {
    for (int g = f + 1; g < static_cast<int>(row.size()); ++g) {
      missing.erase({{f, row[static_cast<size_t>(f)]}, {g, row[static_cast<size_t>(g)]}});
    }
  }
}

int gain(const Pairs& missing, const std::vector<int>& row, Choice choice) {
  int count = 0;
  for (int f = 0; f < static_cast<int>(row.size()); ++f) {
    const int level = row[static_cast<size_t>(f)];
    if (level >= 0 && missing.count(ordered({f, level}, choice)) > 0) ++count;
  }
  return count;
}

}  // namespace

std::vector<std::vector<int>> pairwise_cover(const std::vector<int>& levels) {
  std::vector<int> order(levels.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return levels[static_cast<size_t>(a)] > levels[static_cast<size_t>(b)];
  });
  Pairs missing = all_pairs(levels);
  std::vector<std::vector<int>> rows;
  while (!missing.empty()) {
    std::vector<int> row(levels.size(), -1);
    for (const Choice& choice : {missing.begin()->first, missing.begin()->second}) {
      row[static_cast<size_t>(choice.first)] = choice.second;
    }
    for (const int factor : order) {
      int& chosen = row[static_cast<size_t>(factor)];
      if (chosen >= 0) continue;
      const int count = levels[static_cast<size_t>(factor)];
      // Ties go to another level in each row.
      const int first = static_cast<int>(rows.size()) % count;
      int best = first;
      for (int i = 1; i < count; ++i) {
        const int level = (first + i) % count;
        if (gain(missing, row, {factor, level}) > gain(missing, row, {factor, best})) best = level;
      }
      chosen = best;
    }
    remove_covered(missing, row);
    rows.push_back(std::move(row));
  }
  return rows;
}

int uncovered_pairs(const std::vector<int>& levels, const std::vector<std::vector<int>>& rows) {
  Pairs missing = all_pairs(levels);
  for (const std::vector<int>& row : rows) remove_covered(missing, row);
  return static_cast<int>(missing.size());
}

}  // namespace athanor::testing

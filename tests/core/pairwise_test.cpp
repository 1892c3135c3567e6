// The pairwise tree: what ranks, lanes and blocks rely on.
#include "core/pairwise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace athanor {
namespace {

// The tree as text, which shows its shape: ((0 1) 2).
std::string tree_text(int64_t begin, int64_t n) {
  return tree_reduce(
      begin, n, [](int64_t i) { return std::to_string(i); },
      [](const std::string& a, const std::string& b) { return "(" + a + " " + b + ")"; });
}

// Combines given nodes (by range) along the whole tree; fails where a node is missing.
std::string combine_nodes(const std::map<std::pair<int64_t, int64_t>, std::string>& nodes,
                          int64_t begin, int64_t n) {
  const auto found = nodes.find({begin, n});
  if (found != nodes.end()) return found->second;
  if (n == 1) return "missing";
  const int64_t left = tree_split(n);
  return "(" + combine_nodes(nodes, begin, left) + " " +
         combine_nodes(nodes, begin + left, n - left) + ")";
}

std::vector<int64_t> random_cuts(std::mt19937& random, int64_t total) {
  std::vector<int64_t> cuts = {0, total};
  for (int parts = static_cast<int>(random() % 6); parts > 0; --parts) {
    cuts.push_back(static_cast<int64_t>(random() % static_cast<uint32_t>(total + 1)));
  }
  std::sort(cuts.begin(), cuts.end());
  return cuts;
}

TEST(PairwiseTree, SplitsAtTheLargestPowerOfTwoBelow) {
  EXPECT_EQ(tree_text(0, 1), "0");
  EXPECT_EQ(tree_text(0, 3), "((0 1) 2)");
  EXPECT_EQ(tree_text(0, 4), "((0 1) (2 3))");
  EXPECT_EQ(tree_text(0, 7), "(((0 1) (2 3)) ((4 5) 6))");
  for (int64_t n = 2; n < 2000; ++n) {
    const int64_t left = tree_split(n);
    EXPECT_EQ(left & (left - 1), 0);
    EXPECT_TRUE(left < n && 2 * left >= n) << n;
  }
}

TEST(PairwiseTree, RootsOfAnyPartitionCombineToTheWholeTree) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    const auto total = static_cast<int64_t>(random() % 70 + 1);
    const std::vector<int64_t> cuts = random_cuts(random, total);
    std::map<std::pair<int64_t, int64_t>, std::string> nodes;
    for (size_t part = 0; part + 1 < cuts.size(); ++part) {
      for_each_subtree(cuts[part], cuts[part + 1], total, [&](int64_t begin, int64_t count) {
        nodes[{begin, count}] = tree_text(begin, count);
      });
    }
    ASSERT_EQ(combine_nodes(nodes, 0, total), tree_text(0, total)) << "total " << total;
  }
}

TEST(PairwiseTree, SubtreesCoverTheirRangeInOrderAndAreMaximal) {
  std::mt19937 random(2);
  for (int round = 0; round < 2000; ++round) {
    const auto total = static_cast<int64_t>(random() % 3000 + 1);
    auto begin = static_cast<int64_t>(random() % static_cast<uint32_t>(total + 1));
    auto end = static_cast<int64_t>(random() % static_cast<uint32_t>(total + 1));
    if (begin > end) std::swap(begin, end);
    int64_t next = begin;
    int nodes = 0;
    for_each_subtree(begin, end, total, [&](int64_t first, int64_t count) {
      EXPECT_EQ(first, next);
      EXPECT_GT(count, 0);
      next = first + count;
      ++nodes;
      // Its parent [p, p + 2 size) does not fit into the range.
      const auto size = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(count)));
      const int64_t parent = first / (2 * size) * (2 * size);
      const int64_t parent_end = std::min(parent + 2 * size, total);
      EXPECT_TRUE((first == 0 && count == total) || parent < begin || parent_end > end ||
                  parent_end - parent == count)
          << first << "+" << count << " of [" << begin << ", " << end << ") in " << total;
    });
    EXPECT_EQ(next, end);
    EXPECT_LE(nodes, 2 * 12);  // at most one per level on each side
  }
}

TEST(PairwiseTree, FloatSumsHaveTheSameBitsInAnyPartition) {
  std::mt19937 random(3);
  std::vector<float> values(1000);
  for (float& value : values) {
    value =
        std::ldexp(static_cast<float>(random()) * 0x1p-32f - 0.5f, static_cast<int>(random() % 20));
  }
  const auto sum = [&](int64_t begin, int64_t n) {
    return tree_reduce(
        begin, n, [&](int64_t i) { return values[static_cast<size_t>(i)]; },
        [](float a, float b) { return a + b; });
  };
  for (int round = 0; round < 200; ++round) {
    const auto total = static_cast<int64_t>(random() % 1000 + 1);
    const std::vector<int64_t> cuts = random_cuts(random, total);
    std::map<std::pair<int64_t, int64_t>, float> roots;
    for (size_t part = 0; part + 1 < cuts.size(); ++part) {
      for_each_subtree(cuts[part], cuts[part + 1], total, [&](int64_t begin, int64_t n) {
        roots[{begin, n}] = sum(begin, n);
      });
    }
    const auto combined = [&](auto&& self, int64_t begin, int64_t n) -> float {
      const auto found = roots.find({begin, n});
      if (found != roots.end()) return found->second;
      const int64_t left = tree_split(n);
      return self(self, begin, left) + self(self, begin + left, n - left);
    };
    ASSERT_EQ(combined(combined, 0, total), sum(0, total));
  }
}

TEST(BlockSum, FoldsLanesThenCombinesThemPairwise) {
  std::mt19937 random(4);
  for (int64_t n : {0, 1, 5, 31, 32, 33, 100, 1023, 1024}) {
    std::vector<float> x(static_cast<size_t>(n));
    for (float& value : x) value = static_cast<float>(random()) * 0x1p-32f;
    float lanes[32] = {};
    for (size_t i = 0; i < x.size(); ++i) lanes[i % 32] = std::fma(x[i], x[i], lanes[i % 32]);
    for (int width = 16; width > 0; width /= 2) {
      for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
    }
    const float sum = block_sum(n, [&](int64_t i, float lane) {
      return std::fma(x[static_cast<size_t>(i)], x[static_cast<size_t>(i)], lane);
    });
    EXPECT_EQ(sum, lanes[0]) << n;
  }
}

TEST(BlockedSum, CombinesBlocksInFloat64AlongTheTree) {
  for (int64_t n : {0, 1, 1024, 1025, 5000}) {
    const auto term = [](int64_t i, float lane) {
      return std::fma(1.0f / static_cast<float>(i + 1), 1.0f, lane);
    };
    std::vector<double> blocks;
    for (int64_t begin = 0; begin < n; begin += kSumBlock) {
      blocks.push_back(block_sum(std::min(kSumBlock, n - begin),
                                 [&](int64_t i, float lane) { return term(begin + i, lane); }));
    }
    const double want = n == 0 ? 0.0
                               : tree_reduce(
                                     0, static_cast<int64_t>(blocks.size()),
                                     [&](int64_t b) { return blocks[static_cast<size_t>(b)]; },
                                     [](double a, double b) { return a + b; });
    EXPECT_EQ(blocked_sum(n, term), want) << n;
  }
}

}  // namespace
}  // namespace athanor

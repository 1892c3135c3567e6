// The pairwise tree and fixed-block sums: the one order of every reduction (docs/architecture.md,
// "Numerics"). The tree over n operands splits at the largest power of two below n, so its nodes
// are the ranges [j*2^k, min((j+1)*2^k, n)): aligned subtrees can be computed apart, by other ranks
// or streaming, with the same bits. An absent operand is skipped, never counted as zero.
#pragma once

#include <bit>
#include <cstdint>

namespace athanor {

inline constexpr int64_t kSumBlock = 1024;

// Where the tree over n >= 2 operands splits.
inline int64_t tree_split(int64_t n) {
  return static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(n - 1)));
}

// leaf(i) for i in [begin, begin + n) combined by combine(left, right) along the tree.
template <class Leaf, class Combine>
auto tree_reduce(int64_t begin, int64_t n, const Leaf& leaf, const Combine& combine)
    -> decltype(leaf(begin)) {
  if (n == 1) return leaf(begin);
  const int64_t left = tree_split(n);
  auto first = tree_reduce(begin, left, leaf, combine);
  return combine(first, tree_reduce(begin + left, n - left, leaf, combine));
}

// Visits the roots of the maximal aligned subtrees of the tree over `total` operands that lie in
// [begin, end): node(begin, count), in order. What a rank that owns [begin, end) has to send.
template <class Node>
void for_each_subtree(int64_t begin, int64_t end, int64_t total, const Node& node) {
  while (begin < end) {
    int64_t size = begin == 0 ? static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(total)))
                              : begin & -begin;
    auto node_end = [&](int64_t s) { return begin + s < total ? begin + s : total; };
    while (node_end(size) > end) size /= 2;
    node(begin, node_end(size) - begin);
    begin = node_end(size);
  }
}

// Sum of term(i), i in [0, n), n <= 1024: 32 lanes by fma(x, y, lane), combined pairwise in
// float32. term(i, lane) returns the lane's new value, e.g. fma(x[i], x[i], lane).
template <class Term>
inline float block_sum(int64_t n, const Term& term) {
  float lanes[32] = {};
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    for (int lane = 0; lane < 32; ++lane) lanes[lane] = term(i + lane, lanes[lane]);
  }
  for (int lane = 0; i < n; ++i, ++lane) lanes[lane] = term(i, lanes[lane]);
  for (int width = 16; width >= 1; width /= 2) {
    for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  }
  return lanes[0];
}

// Sum over any n: blocks of 1,024 by block_sum, block sums by the tree in float64.
template <class Term>
inline double blocked_sum(int64_t n, const Term& term) {
  if (n <= 0) return 0.0;
  const int64_t blocks = (n + kSumBlock - 1) / kSumBlock;
  return tree_reduce(
      0, blocks,
      [&](int64_t block) {
        const int64_t begin = block * kSumBlock;
        const int64_t count = n - begin < kSumBlock ? n - begin : kSumBlock;
        return static_cast<double>(
            block_sum(count, [&](int64_t i, float lane) { return term(begin + i, lane); }));
      },
      [](double a, double b) { return a + b; });
}

}  // namespace athanor

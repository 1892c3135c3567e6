// Short words scan the ranks of their pairs; long ones keep a heap over a linked list, O(n log n).
#include "runtime/data/merge_table.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/error.h"

namespace athanor {
namespace {

// Where scanning and heap cost about the same.
constexpr int64_t kLongWord = 96;

constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();

uint64_t pair_key(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

// The first smallest of `ranks`, whose size is a multiple of 8; blocks of a fixed size become
// vector instructions.
size_t first_lowest(const std::vector<uint32_t>& ranks) {
  uint32_t lowest[8];
  std::fill(std::begin(lowest), std::end(lowest), kNoRank);
  for (size_t block = 0; block < ranks.size(); block += 8) {
    for (size_t i = 0; i < 8; ++i) lowest[i] = std::min(lowest[i], ranks[block + i]);
  }
  const uint32_t rank = *std::min_element(std::begin(lowest), std::end(lowest));
  if (rank == kNoRank) return ranks.size();
  return static_cast<size_t>(std::find(ranks.begin(), ranks.end(), rank) - ranks.begin());
}

// Candidates are (rank, left symbol) in one number, so that the smallest is the next to join.
class LongWordMerger {
 public:
  LongWordMerger(const MergeTable& table, SubwordScratch& scratch)
      : table_(table), symbols_(scratch.symbols), links_(scratch.links), heap_(scratch.heap) {
    ATHANOR_CHECK(symbols_.size() < size_t{kNoRank}, "a word of more than 2^32 symbols");
    const int64_t n = static_cast<int64_t>(symbols_.size());
    links_.resize(symbols_.size());
    for (int64_t i = 0; i < n; ++i) links_[i] = {i - 1, i + 1 < n ? i + 1 : -1};
  }

  void run() {
    heap_.clear();
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) {
      if (const auto* merge = merge_at(static_cast<int64_t>(i))) {
        heap_.push_back(static_cast<uint64_t>(merge->rank) << 32 | i);
      }
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    while (!heap_.empty()) {
      const uint64_t top = heap_.front();
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      heap_.pop_back();
      const int64_t left = static_cast<int64_t>(top & 0xFFFFFFFF);
      // The symbols may have changed since the candidate was pushed.
      if (symbols_[left].id < 0) continue;
      const MergeTable::Merge* merge = merge_at(left);
      if (merge != nullptr && merge->rank == top >> 32) join(left, merge->joined);
    }
    std::erase_if(symbols_, [](const WordToken& symbol) { return symbol.id < 0; });
  }

 private:
  const MergeTable::Merge* merge_at(int64_t left) const {
    const int64_t right = links_[left].next;
    return right < 0 ? nullptr : table_.find(symbols_[left].id, symbols_[right].id);
  }

  void push(int64_t left) {
    if (const auto* merge = merge_at(left)) {
      heap_.push_back(static_cast<uint64_t>(merge->rank) << 32 | static_cast<uint64_t>(left));
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    }
  }

  void join(int64_t left, int32_t joined) {
    const int64_t right = links_[left].next;
    symbols_[left] = {joined, symbols_[left].bytes + symbols_[right].bytes};
    symbols_[right].id = -1;
    links_[left].next = links_[right].next;
    if (links_[left].next >= 0) links_[links_[left].next].previous = left;
    if (links_[left].previous >= 0) push(links_[left].previous);
    push(left);
  }

  const MergeTable& table_;
  std::vector<WordToken>& symbols_;
  std::vector<SubwordScratch::Link>& links_;
  std::vector<uint64_t>& heap_;
};

}  // namespace

void MergeTable::reserve(int64_t merges) {
  slots_.assign(std::bit_ceil(static_cast<uint64_t>(merges) * 2 + 2), Slot{});
  mask_ = slots_.size() - 1;
}

size_t MergeTable::slot_of(uint64_t key) const {
  uint64_t hash = key * 0x9E3779B97F4A7C15ull;
  hash ^= hash >> 32;
  size_t at = hash & mask_;
  while (slots_[at].key != key && slots_[at].key != kEmpty) at = (at + 1) & mask_;
  return at;
}

void MergeTable::set(int32_t left, int32_t right, Merge merge) {
  const uint64_t key = pair_key(left, right);
  slots_[slot_of(key)] = {key, merge};
}

const MergeTable::Merge* MergeTable::find(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right);
  const Slot& slot = slots_[slot_of(key)];
  return slot.key == key ? &slot.merge : nullptr;
}

void MergeTable::join(SubwordScratch& scratch) const {
  if (static_cast<int64_t>(scratch.symbols.size()) < kLongWord) {
    join_short(scratch);
  } else {
    LongWordMerger(*this, scratch).run();
  }
}

void MergeTable::join_short(SubwordScratch& scratch) const {
  std::vector<WordToken>& symbols = scratch.symbols;
  std::vector<uint32_t>& ranks = scratch.ranks;  // of pairs, then kNoRank
  std::vector<int32_t>& joined = scratch.joined;
  ranks.assign((symbols.size() + 7) / 8 * 8, kNoRank);
  joined.resize(symbols.size());
  const auto look_up = [&](size_t i) {
    const Merge* merge = find(symbols[i].id, symbols[i + 1].id);
    ranks[i] = merge == nullptr ? kNoRank : merge->rank;
    joined[i] = merge == nullptr ? -1 : merge->joined;
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) look_up(i);
  while (true) {
    const size_t best = first_lowest(ranks);
    if (best == ranks.size()) return;
    symbols[best] = {joined[best], symbols[best].bytes + symbols[best + 1].bytes};
    symbols.erase(symbols.begin() + static_cast<int64_t>(best) + 1);
    joined.erase(joined.begin() + static_cast<int64_t>(best));
    std::copy(ranks.begin() + static_cast<int64_t>(best) + 1, ranks.end(),
              ranks.begin() + static_cast<int64_t>(best));
    ranks.back() = kNoRank;
    if (best > 0) look_up(best - 1);
    if (best + 1 < symbols.size()) look_up(best);
  }
}

void JoinedCharacters::reserve(int64_t pairs) {
  // 32 bits a pair make one answer in about thirty a wrong yes, at most.
  const uint64_t bits = std::clamp(std::bit_ceil(static_cast<uint64_t>(pairs) * 32),
                                   uint64_t{1} << 12, uint64_t{1} << 22);
  bits_.assign(bits / 64, 0);
  shift_ = 64 - std::countr_zero(bits);
}

void JoinedCharacters::add(char32_t left, char32_t right) {
  const uint64_t at = bit_of(left, right);
  bits_[at >> 6] |= uint64_t{1} << (at & 63);
}

}  // namespace athanor

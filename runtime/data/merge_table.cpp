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
  for (size_t block = 0;; block += 8) {
    uint32_t found = 0;
    for (size_t i = 0; i < 8; ++i) found |= ranks[block + i] == rank ? 1u : 0u;
    if (found == 0) continue;
    for (size_t i = block;; ++i) {
      if (ranks[i] == rank) return i;
    }
  }
}

void link_in_order(SubwordScratch& scratch) {
  const int64_t n = static_cast<int64_t>(scratch.symbols.size());
  scratch.links.resize(scratch.symbols.size());
  for (int64_t i = 0; i < n; ++i) scratch.links[i] = {i - 1, i + 1 < n ? i + 1 : -1};
}

// The symbol behind `left` becomes part of it.
void unite(SubwordScratch& scratch, int64_t left, int32_t joined) {
  std::vector<SubwordScratch::Link>& links = scratch.links;
  std::vector<WordToken>& symbols = scratch.symbols;
  const int64_t right = links[left].next;
  symbols[left] = {joined, symbols[left].bytes + symbols[right].bytes};
  symbols[right].id = -1;
  links[left].next = links[right].next;
  if (links[left].next >= 0) links[links[left].next].previous = left;
}

void drop_united(std::vector<WordToken>& symbols) {
  std::erase_if(symbols, [](const WordToken& symbol) { return symbol.id < 0; });
}

// Candidates are (rank, left symbol) in one number, so that the smallest is the next to join.
class LongWordMerger {
 public:
  LongWordMerger(const MergeTable& table, SubwordScratch& scratch)
      : table_(table),
        scratch_(scratch),
        symbols_(scratch.symbols),
        links_(scratch.links),
        heap_(scratch.heap) {
    ATHANOR_CHECK(symbols_.size() < size_t{kNoRank}, "a word of more than 2^32 symbols");
    link_in_order(scratch);
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
    drop_united(symbols_);
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
    unite(scratch_, left, joined);
    if (links_[left].previous >= 0) push(links_[left].previous);
    push(left);
  }

  const MergeTable& table_;
  SubwordScratch& scratch_;
  std::vector<WordToken>& symbols_;
  std::vector<SubwordScratch::Link>& links_;
  std::vector<uint64_t>& heap_;
};

}  // namespace

void MergeTable::reserve(int64_t merges) {
  slots_.assign(std::bit_ceil(static_cast<uint64_t>(merges) * 2 + 2), Slot{});
  mask_ = slots_.size() - 1;
  present_.assign(slots_.size() * 4 / 64 + 1, 0);
  present_mask_ = slots_.size() * 4 - 1;
}

size_t MergeTable::slot_of(uint64_t key, uint64_t hash) const {
  size_t at = hash & mask_;
  while (slots_[at].key != key && slots_[at].key != kEmpty) at = (at + 1) & mask_;
  return at;
}

void MergeTable::set(int32_t left, int32_t right, Merge merge) {
  const uint64_t key = pair_key(left, right);
  const uint64_t hashed = hash(key);
  slots_[slot_of(key, hashed)] = {key, merge};
  const uint64_t bit = hashed & present_mask_;
  present_[bit >> 6] |= uint64_t{1} << (bit & 63);
}

const MergeTable::Merge* MergeTable::find(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right);
  const uint64_t hashed = hash(key);
  const uint64_t bit = hashed & present_mask_;
  if ((present_[bit >> 6] >> (bit & 63) & 1) == 0) return nullptr;
  const Slot& slot = slots_[slot_of(key, hashed)];
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
  std::vector<uint32_t>& ranks = scratch.ranks;  // of a symbol and the next, else kNoRank
  std::vector<int32_t>& joined = scratch.joined;
  ranks.assign((symbols.size() + 7) / 8 * 8, kNoRank);
  joined.resize(symbols.size());
  link_in_order(scratch);
  const auto look_up = [&](size_t left) {
    const int64_t right = scratch.links[left].next;
    const Merge* merge = right < 0 ? nullptr : find(symbols[left].id, symbols[right].id);
    ranks[left] = merge == nullptr ? kNoRank : merge->rank;
    joined[left] = merge == nullptr ? -1 : merge->joined;
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) look_up(i);
  while (true) {
    const size_t best = first_lowest(ranks);
    if (best == ranks.size()) break;
    ranks[scratch.links[best].next] = kNoRank;
    unite(scratch, static_cast<int64_t>(best), joined[best]);
    look_up(best);
    if (scratch.links[best].previous >= 0) {
      look_up(static_cast<size_t>(scratch.links[best].previous));
    }
  }
  drop_united(symbols);
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

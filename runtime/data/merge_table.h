// The merges of a BPE model, and joining the symbols of a word by them. Internal to runtime/data.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/data/subword_model.h"

namespace athanor {

// (left id, right id) → (rank, id of the joined token); open addressing, fixed after loading.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = 0;
    int32_t joined = -1;
  };

  void reserve(int64_t merges);
  void set(int32_t left, int32_t right, Merge merge);
  const Merge* find(int32_t left, int32_t right) const;

  // Joins the adjacent pair of lowest rank, the leftmost first, until no pair of scratch.symbols
  // can be joined.
  void join(SubwordScratch& scratch) const;

 private:
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  static uint64_t hash(uint64_t key) {
    key *= 0x9E3779B97F4A7C15ull;
    return key ^ key >> 32;
  }
  size_t slot_of(uint64_t key, uint64_t hash) const;
  void join_short(SubwordScratch& scratch) const;

  std::vector<Slot> slots_;
  uint64_t mask_ = 0;
  // A bit for each hash that has a merge. Most pairs have none: this says so without a look at the
  // slots, of which big vocabularies have more than a core's caches hold.
  std::vector<uint64_t> present_;
  uint64_t present_mask_ = 0;
};

// Which characters stand beside each other where some merge joins its two tokens. Answers yes for a
// few pairs more: a bit for each hash.
class JoinedCharacters {
 public:
  void reserve(int64_t pairs);
  void add(char32_t left, char32_t right);
  bool maybe(char32_t left, char32_t right) const {
    const uint64_t at = bit_of(left, right);
    return (bits_[at >> 6] >> (at & 63) & 1) != 0;
  }

 private:
  uint64_t bit_of(char32_t left, char32_t right) const {
    const uint64_t key = static_cast<uint64_t>(left) << 21 | right;
    return key * 0x9E3779B97F4A7C15ull >> shift_;
  }

  std::vector<uint64_t> bits_ = {0};
  int shift_ = 58;
};

}  // namespace athanor

// The tokens of words that came before: a bounded table, each word in the one place that its hash
// says, the newest wins. Belongs to one thread at a time. Internal to runtime/data.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/data/subword_model.h"

namespace athanor {

class WordCache {
 public:
  // One cache line.
  struct Entry {
    static constexpr size_t kMaxBytes = 32;
    static constexpr size_t kMaxTokens = 6;
    uint8_t size = 0;  // of the word; 0: empty
    uint8_t count = 0;
    uint8_t bytes[kMaxTokens] = {};  // of each token
    char word[kMaxBytes] = {};
    int32_t ids[kMaxTokens] = {};
  };

  WordCache() : entries_(size_t{1} << kBits) {}

  static bool holds(std::string_view word) { return word.size() <= Entry::kMaxBytes; }
  // Where a word that holds() is kept; whether it is there now is has().
  Entry& place(std::string_view word) { return entries_[hash(word) >> (64 - kBits)]; }
  static bool has(const Entry& entry, std::string_view word);
  // Words of more tokens are not kept.
  static void put(Entry& entry, std::string_view word, const WordToken* tokens, size_t count);

 private:
  static constexpr int kBits = 14;  // 1 MiB, what a core's second-level cache holds
  static uint64_t hash(std::string_view word);

  std::vector<Entry> entries_;
};

}  // namespace athanor

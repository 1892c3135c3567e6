// Hashing reads a word in pieces of fixed size that may overlap.
#include "runtime/data/word_cache.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace athanor {
namespace {

template <class Number>
uint64_t load(const char* from) {
  Number value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

uint64_t mix(uint64_t hash, uint64_t value) {
  return (std::rotl(hash, 25) ^ value) * 0x9E3779B97F4A7C15ull;
}

}  // namespace

uint64_t WordCache::hash(std::string_view word) {
  const char* data = word.data();
  const size_t size = word.size();
  uint64_t hash = mix(0, size);
  if (size >= 8) {
    for (size_t at = 0; at + 8 < size; at += 8) hash = mix(hash, load<uint64_t>(data + at));
    hash = mix(hash, load<uint64_t>(data + size - 8));
  } else if (size >= 4) {
    hash = mix(hash, load<uint32_t>(data) << 32 | load<uint32_t>(data + size - 4));
  } else if (size > 0) {
    hash = mix(hash, load<uint8_t>(data) << 16 | load<uint8_t>(data + size / 2) << 8 |
                         load<uint8_t>(data + size - 1));
  }
  return mix(hash ^ hash >> 32, 0);
}

bool WordCache::has(const Entry& entry, std::string_view word) {
  return entry.size == word.size() && std::memcmp(entry.word, word.data(), word.size()) == 0;
}

void WordCache::put(Entry& entry, std::string_view word, const WordToken* tokens, size_t count) {
  if (count > Entry::kMaxTokens) return;
  entry.size = static_cast<uint8_t>(word.size());
  entry.count = static_cast<uint8_t>(count);
  std::memcpy(entry.word, word.data(), word.size());
  for (size_t i = 0; i < count; ++i) {
    entry.ids[i] = tokens[i].id;
    entry.bytes[i] = static_cast<uint8_t>(tokens[i].bytes);
  }
}

}  // namespace athanor

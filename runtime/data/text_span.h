// A half-open range of bytes in some text; the currency between pre-tokenizer, tokenizer, chat
// template and label masks.
#pragma once

#include <cstdint>

namespace athanor {

struct ByteSpan {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
  bool operator==(const ByteSpan&) const = default;
};

inline bool overlap(ByteSpan a, ByteSpan b) { return a.begin < b.end && b.begin < a.end; }

}  // namespace athanor

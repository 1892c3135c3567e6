// Text on its way through normalizer and pre-tokenizer that remembers which bytes of the original
// each of its bytes came from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/text_span.h"

namespace athanor {

class AlignedText {
 public:
  AlignedText() = default;
  // A copy of original[base, base + text.size()).
  AlignedText(std::string_view text, int64_t base) : text_(text), base_(base) {}

  const std::string& text() const { return text_; }
  int64_t size() const { return static_cast<int64_t>(text_.size()); }
  std::string_view view(ByteSpan span) const {
    return std::string_view(text_).substr(span.begin, span.size());
  }

  // The bytes of the original that text[begin, end) stands for; empty for inserted text.
  ByteSpan origin(ByteSpan span) const;
  AlignedText slice(ByteSpan span) const;

 private:
  friend class AlignedTextBuilder;
  struct Origin {
    uint32_t begin = 0;
    uint32_t end = 0;
  };

  std::string text_;
  int64_t base_ = 0;             // identity: byte i is original byte base_ + i
  std::vector<Origin> origins_;  // one per byte when the text is no longer a copy
};

// Writes an edited text from left to right: bytes kept, bytes put in place of others.
class AlignedTextBuilder {
 public:
  explicit AlignedTextBuilder(const AlignedText& source);

  int64_t size() const { return result_.size(); }
  void keep(ByteSpan span);
  // `replaced` is a span of the source; empty for an insertion before its begin.
  void put(std::string_view text, ByteSpan replaced);
  AlignedText finish() && { return std::move(result_); }

 private:
  const AlignedText& source_;
  AlignedText result_;
};

}  // namespace athanor

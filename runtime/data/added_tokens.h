// The `added_tokens` of tokenizer.json: strings that are cut out of the text before anything else
// and become one token each. Internal to runtime/data.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/text_span.h"

namespace athanor {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;
  bool lstrip = false;       // takes the white space on its left
  bool rstrip = false;       // … on its right
  bool single_word = false;  // not next to a word character
  bool normalized = false;   // looked for in the normalized text, not in the original
};

// A stretch of text: an added token (id >= 0) or ordinary text.
struct TextSegment {
  ByteSpan span;
  int32_t id = -1;
};

class AddedTokenMatcher {
 public:
  AddedTokenMatcher();

  // `pattern` is what to look for: the token's content, normalized where the token says so.
  void add(std::string_view pattern, const AddedToken& token);

  // Leftmost, then longest matches; the segments cover the text and none is empty.
  std::vector<TextSegment> split(std::string_view text) const;

 private:
  struct Node {
    std::map<char, int32_t> children;
    std::optional<int32_t> token;  // index into tokens_
  };
  struct Match {
    ByteSpan span;
    const AddedToken* token = nullptr;
  };
  Match longest_at(std::string_view text, int64_t at) const;
  bool stands_alone(std::string_view text, ByteSpan span) const;

  std::vector<Node> nodes_;
  std::vector<AddedToken> tokens_;
  std::array<bool, 256> starts_{};  // by first byte
};

}  // namespace athanor

// The `precompiled_charsmap` of SentencePiece: a double-array trie from byte strings to offsets in
// a pool of replacement texts. Internal to runtime/data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/aligned_text.h"
#include "runtime/data/json_field.h"

namespace athanor {

class Charsmap {
 public:
  // A base64 string; kBadInput when it is not a charsmap.
  static Charsmap from_json(const JsonField& field);

  AlignedText apply(const AlignedText& text) const;

 private:
  // The replacement of the shortest entry that begins `text`.
  std::optional<std::string_view> find(std::string_view text) const;

  std::vector<uint32_t> units_;
  std::string pool_;  // texts that each end in a zero byte
};

}  // namespace athanor

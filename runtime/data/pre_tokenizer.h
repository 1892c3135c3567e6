// The `pre_tokenizer` of tokenizer.json: cuts text into the words that BPE works on.
// Internal to runtime/data.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "runtime/data/aligned_text.h"
#include "runtime/data/json_field.h"

namespace athanor {

// Pieces cover `text` from left to right and may leave out what was removed.
struct PreTokenized {
  AlignedText text;
  std::vector<ByteSpan> pieces;
};

class PreTokenizer {
 public:
  static PreTokenizer from_json(const std::optional<JsonField>& config);

  PreTokenized apply(AlignedText text) const;
  // Words are bytes in the ByteLevel alphabet. The text itself stays as it is; the model maps.
  bool byte_level() const { return byte_level_; }

 private:
  void add(const JsonField& config);
  void add_byte_level(const JsonField& config);
  void add_split(const JsonField& config);
  void add_metaspace(const JsonField& config);

  std::vector<std::function<void(PreTokenized&)>> steps_;
  bool byte_level_ = false;
};

// How Metaspace (pre-tokenizer and decoder) is written in the file.
struct MetaspaceConfig {
  enum class Prepend { kNever, kFirst, kAlways };
  std::string replacement;
  Prepend prepend = Prepend::kAlways;
  bool split = true;

  static MetaspaceConfig from_json(const JsonField& config);
};

}  // namespace athanor

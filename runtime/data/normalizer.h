// The `normalizer` of tokenizer.json: Sequence, Prepend, Replace, NFC. Internal to runtime/data.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "runtime/data/aligned_text.h"
#include "runtime/data/json_field.h"
#include "runtime/data/regex.h"

namespace athanor {

class Normalizer {
 public:
  // nullopt: the file has none.
  static Normalizer from_json(const std::optional<JsonField>& config);

  AlignedText apply(AlignedText text) const;

 private:
  void add(const JsonField& config);

  std::vector<std::function<AlignedText(AlignedText)>> steps_;
};

// {"String": s} or {"Regex": r}.
Pattern pattern_from_json(const JsonField& config);

// Every match replaced by `content`.
AlignedText replace_all(const AlignedText& text, const std::vector<ByteSpan>& matches,
                        std::string_view content);

}  // namespace athanor

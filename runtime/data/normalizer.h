// The `normalizer` of tokenizer.json. Internal to runtime/data.
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
  using Step = std::function<AlignedText(AlignedText)>;
  void add(const JsonField& config);
  bool add_simple(const std::string& type);
  void add_bert(const JsonField& config);

  std::vector<Step> steps_;
};

// {"String": s} or {"Regex": r}.
Pattern pattern_from_json(const JsonField& config);

// Every match replaced by `content`.
AlignedText replace_all(const AlignedText& text, const std::vector<ByteSpan>& matches,
                        std::string_view content);

}  // namespace athanor

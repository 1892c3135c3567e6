// The `decoder` of tokenizer.json: tokens back to text. Knows Sequence, ByteLevel, Replace,
// ByteFallback, Fuse, Strip, Metaspace, WordPiece and BPEDecoder. Internal to runtime/data.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/data/json_field.h"

namespace athanor {

class Decoder {
 public:
  static Decoder from_json(const std::optional<JsonField>& config);

  // Without a decoder tokens are joined by spaces, as Hugging Face does.
  std::string apply(std::vector<std::string> tokens) const;

 private:
  void add(const JsonField& config);

  std::vector<std::function<void(std::vector<std::string>&)>> steps_;
  bool present_ = false;
};

}  // namespace athanor

// Text to token ids and back, as tokenizer.json of a Hugging Face model folder says. What to do is
// read from the component types in the file, never from the model's name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/text_span.h"

namespace athanor {

struct Encoding {
  std::vector<int32_t> ids;
  // Bytes of the given text that each id stands for; empty for tokens that stand for none (BOS).
  std::vector<ByteSpan> spans;
};

// A const Tokenizer may be used by many threads at once.
class Tokenizer {
 public:
  // A model folder, or the tokenizer.json inside one. A missing file is kConfig; a malformed one,
  // or a component that is not supported, is kBadInput naming file and field.
  static Tokenizer load(const std::filesystem::path& model_dir_or_tokenizer_json);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // Special tokens written in the text are recognised in any case; add_special_tokens puts those of
  // the post-processor (prefix_ids, suffix_ids) around it. Text that is not UTF-8 is kBadInput.
  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const;
  Encoding encode_with_spans(std::string_view text, bool add_special_tokens) const;

  // Always valid UTF-8: broken sequences become U+FFFD. Ids without a token (a padded vocabulary)
  // stand for nothing.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens) const;

  std::optional<int32_t> token_to_id(std::string_view token) const;
  std::optional<std::string_view> id_to_token(int32_t id) const;
  bool is_special(int32_t id) const;
  int64_t vocab_size() const;  // largest id + 1, added tokens included

  const std::vector<int32_t>& prefix_ids() const;
  const std::vector<int32_t>& suffix_ids() const;

  // bos_token and eos_token of tokenizer_config.json, else the ids of generation_config.json or
  // config.json. eos_ids: all that end a generation, eos_id() first.
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  const std::vector<int32_t>& eos_ids() const;
  std::string bos_token() const;  // empty: none
  std::string eos_token() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Text of a growing list of ids, a part at a time: never half a character, and spaces between words
// as in the whole text. The parts of valid UTF-8 add up to decode() of all ids.
class StreamDecoder {
 public:
  // `context`: the ids before the first one (the prompt), so that its leading space is kept.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true,
                         std::span<const int32_t> context = {});

  std::string put(int32_t id);
  // What is held back as an unfinished character, as U+FFFD.
  std::string flush();

 private:
  std::string emit_until(const std::string& text, size_t end);

  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::vector<int32_t> window_;  // the last ids that were printed, then those that were not
  size_t printed_ids_ = 0;       // of the window
  size_t unfinished_ids_ = 0;    // at its end, since the text last ended in a whole character
  size_t printed_bytes_ = 0;     // of the window's text
};

}  // namespace athanor

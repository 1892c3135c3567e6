// One record to its samples: rendered, tokenised once, marked, cut. Internal to runtime/data.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/data/chat.h"
#include "runtime/data/dataset.h"
#include "runtime/data/record.h"

namespace athanor {

// Targets as the loss sees them: the first token is never predicted.
int64_t count_targets(const Sample& sample);

class SampleBuilder {
 public:
  // A template that does not exist is kConfig here; the model's own is looked for when a
  // conversation comes.
  SampleBuilder(const DataOptions& options, const Tokenizer* tokenizer, int64_t vocab_size);

  int64_t vocab_size() const { return vocab_size_; }
  std::vector<Sample> build(Record record);

  // What was seen so far: truncated, last_turn_only, double_bos, chats, ends_trained.
  const DatasetReport& seen() const { return seen_; }

 private:
  const ChatTemplate& chat_template();
  std::vector<Sample> conversation(const Conversation& chat);
  std::vector<Sample> whole_text(std::string_view text, bool special_tokens);
  Sample marked(Encoding encoding, std::span<const ByteSpan> trained) const;
  Encoding tokenize(std::string_view text, bool special_tokens);
  void append_eos(std::vector<int32_t>& ids) const;
  void check_vocabulary(std::span<const int32_t> ids) const;
  bool ends_turn(int32_t id) const;
  std::vector<Sample> truncate(Sample sample);
  std::vector<Sample> split(const Sample& sample) const;

  const DataOptions& options_;
  const Tokenizer* tokenizer_;
  int64_t vocab_size_;
  std::optional<ChatTemplate> template_;
  std::optional<int32_t> turn_end_;  // the first token of the template's end of a turn
  DatasetReport seen_;
};

}  // namespace athanor

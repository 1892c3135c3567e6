// One record to its samples: rendered, tokenised once, marked, cut. Internal to runtime/data.
#pragma once

#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/data/chat.h"
#include "runtime/data/dataset.h"
#include "runtime/data/record.h"

namespace athanor {

// What records turned out to be, as in DatasetReport.
struct SeenCounts {
  int64_t truncated = 0;
  int64_t chats = 0;
  int64_t last_turn_only = 0;
  int64_t double_bos = 0;
  int64_t ends_trained = 0;
};

// Many threads may build at once.
class SampleBuilder {
 public:
  // A template that does not exist is kConfig here; the model's own is looked for when a
  // conversation comes.
  SampleBuilder(const DataOptions& options, const Tokenizer* tokenizer, int64_t vocab_size);

  int64_t vocab_size() const { return vocab_size_; }
  // Adds to `seen`.
  std::vector<Sample> build(Record record, SeenCounts& seen) const;

 private:
  const ChatTemplate& chat_template() const;
  std::vector<Sample> conversation(const Conversation& chat, SeenCounts& seen) const;
  std::vector<Sample> whole_text(std::string_view text, bool special_tokens) const;
  Sample marked(Encoding encoding, std::span<const ByteSpan> trained) const;
  Encoding tokenize(std::string_view text, bool special_tokens) const;
  void append_eos(std::vector<int32_t>& ids) const;
  void check_vocabulary(std::span<const int32_t> ids) const;
  bool ends_turn(int32_t id) const;
  std::vector<Sample> truncate(Sample sample, SeenCounts& seen) const;
  std::vector<Sample> split(const Sample& sample) const;

  const DataOptions& options_;
  const Tokenizer* tokenizer_;
  int64_t vocab_size_;
  mutable std::mutex mutex_;  // of what follows, which the first conversation sets
  mutable std::optional<ChatTemplate> template_;
  mutable std::optional<int32_t> turn_end_;  // first token of the template's end of a turn
};

}  // namespace athanor

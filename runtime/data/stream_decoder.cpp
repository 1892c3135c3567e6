// StreamDecoder decodes a short window again for each id, since what a token prints depends on its
// neighbours (leading spaces, characters made of several byte tokens).
#include <algorithm>

#include "runtime/data/tokenizer.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

constexpr size_t kContextIds = 16;
// A character has at most four bytes: after that many ids a broken end is not an unfinished one.
constexpr size_t kMaxUnfinishedIds = 4;

size_t without_trailing_replacements(const std::string& text, bool all) {
  size_t end = text.size();
  while (std::string_view(text).substr(0, end).ends_with(kReplacementCharacter)) {
    end -= kReplacementCharacter.size();
    if (!all) break;
  }
  return end;
}

}  // namespace

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens,
                             std::span<const int32_t> context)
    : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens) {
  const size_t kept = std::min(context.size(), kContextIds);
  window_.assign(context.end() - static_cast<int64_t>(kept), context.end());
  printed_ids_ = window_.size();
  printed_bytes_ = tokenizer.decode(window_, skip_special_tokens).size();
}

std::string StreamDecoder::put(int32_t id) {
  if (skip_special_tokens_ && tokenizer_->is_special(id)) return "";
  window_.push_back(id);
  const std::string text = tokenizer_->decode(window_, skip_special_tokens_);
  const bool keep_waiting = unfinished_ids_ + 1 < kMaxUnfinishedIds;
  const size_t end = without_trailing_replacements(text, keep_waiting);
  if (end < text.size()) {
    ++unfinished_ids_;
    return emit_until(text, end);
  }
  unfinished_ids_ = 0;
  if (end <= printed_bytes_) return "";
  std::string part = emit_until(text, end);
  // All is printed: only the ids of this part are needed to decode the next.
  window_.erase(window_.begin(), window_.begin() + static_cast<int64_t>(printed_ids_));
  printed_ids_ = window_.size();
  printed_bytes_ = tokenizer_->decode(window_, skip_special_tokens_).size();
  return part;
}

std::string StreamDecoder::flush() {
  const std::string text = tokenizer_->decode(window_, skip_special_tokens_);
  std::string part = emit_until(text, text.size());
  unfinished_ids_ = 0;
  return part;
}

std::string StreamDecoder::emit_until(const std::string& text, size_t end) {
  size_t begin = std::min(printed_bytes_, text.size());
  // Broken bytes can change text that is already out; go on at the next whole character.
  while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) ++begin;
  if (end <= begin) return "";
  printed_bytes_ = end;
  return text.substr(begin, end - begin);
}

}  // namespace athanor

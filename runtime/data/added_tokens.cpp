// Added tokens are found with a trie over bytes.
#include "runtime/data/added_tokens.h"

#include <algorithm>

#include "runtime/data/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

int64_t previous_character(std::string_view text, int64_t at) {
  do {
    --at;
  } while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

int64_t skip_space_left(std::string_view text, int64_t at, int64_t limit) {
  while (at > limit) {
    const int64_t before = previous_character(text, at);
    if (before < limit || !is_white_space(utf8_step(text, before).code_point)) break;
    at = before;
  }
  return at;
}

int64_t skip_space_right(std::string_view text, int64_t at) {
  while (at < static_cast<int64_t>(text.size())) {
    const Utf8Step step = utf8_step(text, at);
    if (!is_white_space(step.code_point)) break;
    at += step.length;
  }
  return at;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher() : nodes_(1) {}

void AddedTokenMatcher::add(std::string_view pattern, const AddedToken& token) {
  if (pattern.empty()) return;
  int32_t at = 0;
  for (const char c : pattern) {
    const auto child = nodes_[at].children.find(c);
    if (child != nodes_[at].children.end()) {
      at = child->second;
    } else {
      const auto next = static_cast<int32_t>(nodes_.size());
      nodes_[at].children.emplace(c, next);
      nodes_.emplace_back();
      at = next;
    }
  }
  starts_[static_cast<unsigned char>(pattern.front())] = true;
  nodes_[at].token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
}

AddedTokenMatcher::Match AddedTokenMatcher::longest_at(std::string_view text, int64_t at) const {
  Match best;
  int32_t node = 0;
  for (int64_t i = at; i < static_cast<int64_t>(text.size()); ++i) {
    const auto child = nodes_[node].children.find(text[i]);
    if (child == nodes_[node].children.end()) break;
    node = child->second;
    if (nodes_[node].token) best = {{at, i + 1}, &tokens_[*nodes_[node].token]};
  }
  return best;
}

bool AddedTokenMatcher::stands_alone(std::string_view text, ByteSpan span) const {
  const auto is_word = [&](int64_t at) {
    return is_word_character(utf8_step(text, at).code_point);
  };
  const bool left = span.begin == 0 || !is_word(previous_character(text, span.begin));
  const bool right = span.end == static_cast<int64_t>(text.size()) || !is_word(span.end);
  return left && right;
}

std::vector<TextSegment> AddedTokenMatcher::split(std::string_view text) const {
  std::vector<TextSegment> segments;
  const int64_t size = static_cast<int64_t>(text.size());
  int64_t done = 0;
  for (int64_t at = 0; at < size;) {
    if (!starts_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    Match match = longest_at(text, at);
    if (match.token == nullptr) {
      ++at;
      continue;
    }
    at = match.span.end;
    if (match.token->single_word && !stands_alone(text, match.span)) continue;
    if (match.token->lstrip) {
      match.span.begin = skip_space_left(text, match.span.begin, done);
    }
    if (match.token->rstrip) match.span.end = skip_space_right(text, match.span.end);
    if (done < match.span.begin) segments.push_back({{done, match.span.begin}, -1});
    segments.push_back({match.span, match.token->id});
    done = match.span.end;
    at = done;
  }
  if (done < size) segments.push_back({{done, size}, -1});
  return segments;
}

}  // namespace athanor

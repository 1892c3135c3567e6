// Unigram: the best path through all tokens that fit, and its parts to ids.
#include "runtime/data/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

// How much less than the least likely token an unknown character scores, as in SentencePiece.
constexpr double kUnknownPenalty = 10;

}  // namespace

size_t ByteTrie::slot_of(int32_t node, int32_t byte) const {
  const size_t mask = edges_.size() - 1;
  const uint64_t key = static_cast<uint64_t>(node) << 8 | static_cast<uint64_t>(byte);
  size_t at = (key * 0x9E3779B97F4A7C15ull >> 24) & mask;
  while (edges_[at].node >= 0 && (edges_[at].node != node || edges_[at].byte != byte)) {
    at = (at + 1) & mask;
  }
  return at;
}

void ByteTrie::grow() {
  std::vector<Edge> old(edges_.size() * 2);
  old.swap(edges_);
  for (const Edge& edge : old) {
    if (edge.node >= 0) edges_[slot_of(edge.node, edge.byte)] = edge;
  }
}

void ByteTrie::add(std::string_view text, int32_t value) {
  int32_t node = 0;
  for (const char c : text) {
    const int32_t byte = static_cast<unsigned char>(c);
    const size_t slot = slot_of(node, byte);
    if (edges_[slot].node < 0) {
      edges_[slot] = {node, byte, static_cast<int32_t>(values_.size())};
      values_.push_back(-1);
      node = edges_[slot].child;
      if (values_.size() * 2 > edges_.size()) grow();
    } else {
      node = edges_[slot].child;
    }
  }
  values_[static_cast<size_t>(node)] = value;
}

int32_t ByteTrie::step(int32_t node, unsigned char byte) const {
  const Edge& edge = edges_[slot_of(node, byte)];
  return edge.node < 0 ? -1 : edge.child;
}

UnigramModel UnigramModel::from_json(const JsonField& model) {
  UnigramModel unigram;
  for (const char* key : {"alpha", "nbest_size"}) {
    if (const auto field = model.find(key)) field->fail("sampling of tokens is not supported");
  }
  unigram.byte_fallback_ = model.boolean_or("byte_fallback", false);
  unigram.load_vocabulary(model.at("vocab"));
  if (const auto unknown = model.find("unk_id")) {
    const int64_t id = unknown->integer();
    if (id < 0 || id >= static_cast<int64_t>(unigram.scores_.size())) {
      unknown->fail("id " + std::to_string(id) + " is outside the vocabulary of " +
                    std::to_string(unigram.scores_.size()));
    }
    unigram.unknown_id_ = static_cast<int32_t>(id);
  }
  return unigram;
}

void UnigramModel::load_vocabulary(const JsonField& vocab) {
  vocab.require_array();
  const nlohmann::json& entries = vocab.value();
  if (static_cast<int64_t>(entries.size()) > kMaxTokenId) {
    vocab.fail("has " + std::to_string(entries.size()) + " tokens, at most " +
               std::to_string(kMaxTokenId) + " are supported");
  }
  vocabulary_.reserve(entries.size());
  double lowest = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < entries.size(); ++i) {
    const nlohmann::json& entry = entries[i];
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      JsonField(entry, vocab.place(), vocab.path() + "[" + std::to_string(i) + "]")
          .fail("expected [token, score]");
    }
    const std::string& token = entry[0].get_ref<const std::string&>();
    // Of a token that stands twice the later id counts, as in the library.
    vocabulary_.insert_or_assign(token, static_cast<int32_t>(i));
    if (!token.empty()) trie_.add(token, static_cast<int32_t>(i));
    scores_.push_back(entry[1].get<double>());
    lowest = std::min(lowest, scores_.back());
  }
  unknown_score_ = lowest - kUnknownPenalty;
  constexpr char kHex[] = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    const char name[] = {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
    const auto entry = vocabulary_.find(std::string_view(name, sizeof(name)));
    byte_ids_[byte] = entry == vocabulary_.end() ? -1 : entry->second;
  }
}

// scratch.path[i]: the best cut of the first i bytes; the first of two equal ones stays.
void UnigramModel::find_path(std::string_view word, SubwordScratch& scratch) const {
  std::vector<SubwordScratch::PathNode>& path = scratch.path;
  path.assign(word.size() + 1, {});
  const auto offer = [&](int64_t begin, int64_t end, int32_t id, double score) {
    SubwordScratch::PathNode& node = path[end];
    if (node.begin < 0 || score > node.score) node = {score, begin, id};
  };
  const int64_t size = static_cast<int64_t>(word.size());
  for (int64_t begin = 0; begin < size;) {
    const double before = path[begin].score;
    const int64_t character = std::min(utf8_length(word[begin]), size - begin);
    bool has_character = false;
    int32_t node = 0;
    for (int64_t end = begin; end < size;) {
      node = trie_.step(node, static_cast<unsigned char>(word[end++]));
      if (node < 0) break;
      const int32_t id = trie_.value(node);
      if (id < 0) continue;
      offer(begin, end, id, scores_[id] + before);
      has_character = has_character || end - begin == character;
    }
    if (!has_character) {
      if (!unknown_id_) {
        throw Error(ErrorKind::kBadInput, "the text has the character " +
                                              in_quotes(word.substr(begin, character)) +
                                              ", for which the tokenizer has neither a token nor "
                                              "an unknown token (unk_id)");
      }
      offer(begin, begin + character, *unknown_id_, unknown_score_ + before);
    }
    begin += character;
  }
}

// One part of the path: its token, else its bytes, else the unknown token.
void UnigramModel::append(std::string_view piece, std::vector<WordToken>& out) const {
  const int64_t bytes = static_cast<int64_t>(piece.size());
  if (const auto entry = vocabulary_.find(piece); entry != vocabulary_.end()) {
    out.push_back({entry->second, bytes});
  } else if (byte_fallback_ && std::all_of(piece.begin(), piece.end(), [&](char c) {
               return byte_ids_[static_cast<unsigned char>(c)] >= 0;
             })) {
    for (const char c : piece) out.push_back({byte_ids_[static_cast<unsigned char>(c)], 1});
  } else {
    out.push_back({*unknown_id_, bytes});
  }
}

void UnigramModel::encode(std::string_view word, bool /*byte_level*/, SubwordScratch& scratch,
                          std::vector<WordToken>& out) const {
  find_path(word, scratch);
  // From the end to the beginning; unknown parts that follow one another are one part.
  std::vector<WordToken>& parts = scratch.symbols;
  parts.clear();
  for (int64_t end = static_cast<int64_t>(word.size()); end > 0;) {
    const SubwordScratch::PathNode& node = scratch.path[end];
    const bool unknown = unknown_id_ && node.id == *unknown_id_;
    const int64_t bytes = end - node.begin;
    if (unknown && !parts.empty() && parts.back().id == *unknown_id_) {
      parts.back().bytes += bytes;
    } else {
      parts.push_back({node.id, bytes});
    }
    end = node.begin;
  }
  int64_t at = 0;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    append(word.substr(at, part->bytes), out);
    at += part->bytes;
  }
}

}  // namespace athanor

// The `model` of tokenizer.json: what cuts a word into tokens. Internal to runtime/data.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/data/json_field.h"

namespace athanor {

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using Vocabulary = std::unordered_map<std::string, int32_t, StringHash, std::equal_to<>>;

// Ids above this are taken for a broken file (the largest published vocabularies have 2^18).
inline constexpr int64_t kMaxTokenId = (int64_t{1} << 22) - 1;

struct WordToken {
  int32_t id = 0;
  int64_t bytes = 0;  // of the word that it covers
};

// Memory that one thread uses again from word to word.
struct SubwordScratch {
  struct Link {
    int64_t previous = -1;
    int64_t next = -1;
  };
  struct PathNode {
    double score = 0;
    int64_t begin = -1;  // of the token that ends here on the best path; -1: none yet
    int32_t id = 0;
  };

  std::vector<WordToken> symbols;
  std::vector<uint32_t> ranks;
  std::vector<int32_t> joined;
  std::vector<uint64_t> heap;
  std::vector<Link> links;
  std::vector<PathNode> path;
};

class SubwordModel {
 public:
  static std::unique_ptr<SubwordModel> from_json(const JsonField& model);
  virtual ~SubwordModel() = default;

  // Appends the tokens of `word`. byte_level: the symbols are bytes, else characters.
  virtual void encode(std::string_view word, bool byte_level, SubwordScratch& scratch,
                      std::vector<WordToken>& out) const = 0;

  virtual bool takes_byte_level() const { return true; }

  // The end of a stretch of `word` from `begin` on such that the tokens of the word are those of
  // its stretches, one after the other. The end of the word is always right.
  virtual int64_t stretch_end(std::string_view word, int64_t /*begin*/) const {
    return static_cast<int64_t>(word.size());
  }

  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  Vocabulary vocabulary_;
};

}  // namespace athanor

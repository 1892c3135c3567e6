// The Unigram model of tokenizer.json: the cut of a word whose tokens have the highest sum of
// scores. Internal to runtime/data.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "runtime/data/subword_model.h"

namespace athanor {

// Byte strings to numbers; a node is reached from (node, byte) by open addressing.
class ByteTrie {
 public:
  void add(std::string_view text, int32_t value);

  // The node behind `byte`, or -1.
  int32_t step(int32_t node, unsigned char byte) const;
  int32_t value(int32_t node) const { return values_[static_cast<size_t>(node)]; }  // or -1

 private:
  struct Edge {
    int32_t node = -1;  // parent; -1: empty
    int32_t byte = 0;
    int32_t child = 0;
  };
  size_t slot_of(int32_t node, int32_t byte) const;
  void grow();

  std::vector<Edge> edges_ = std::vector<Edge>(64);
  std::vector<int32_t> values_ = {-1};  // by node; the root is 0
};

class UnigramModel : public SubwordModel {
 public:
  static UnigramModel from_json(const JsonField& model);

  void encode(std::string_view word, bool byte_level, SubwordScratch& scratch,
              std::vector<WordToken>& out) const override;
  bool takes_byte_level() const override { return false; }

 private:
  void load_vocabulary(const JsonField& vocab);
  void find_path(std::string_view word, SubwordScratch& scratch) const;
  void append(std::string_view piece, std::vector<WordToken>& out) const;

  ByteTrie trie_;
  std::vector<double> scores_;  // by id
  std::optional<int32_t> unknown_id_;
  double unknown_score_ = 0;
  bool byte_fallback_ = false;
  std::array<int32_t, 256> byte_ids_{};  // <0x00> … <0xFF>, or -1
};

}  // namespace athanor

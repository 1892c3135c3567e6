// The BPE model of tokenizer.json: vocabulary, merges, and the encoding of one word. Internal to
// runtime/data.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
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

// (left id, right id) → (rank, id of the joined token); open addressing, fixed after loading.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = 0;
    int32_t joined = -1;
  };

  void reserve(int64_t merges);
  void set(int32_t left, int32_t right, Merge merge);
  const Merge* find(int32_t left, int32_t right) const;

 private:
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  size_t slot_of(uint64_t key) const;

  std::vector<Slot> slots_;
  uint64_t mask_ = 0;
};

class BpeModel {
 public:
  struct Token {
    int32_t id = 0;
    int64_t bytes = 0;  // of the word that it covers
  };

  static BpeModel from_json(const JsonField& model);

  // Appends the tokens of `word`. byte_level: the symbols are bytes, else characters.
  void encode(std::string_view word, bool byte_level, std::vector<Token>& out) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  void load_vocabulary(const JsonField& vocab);
  void load_merges(const JsonField& merges);
  bool whole_word(std::string_view word, bool byte_level, std::vector<Token>& out) const;
  std::vector<Token> symbols_of(std::string_view word, bool byte_level) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  std::array<int32_t, 256> byte_level_ids_{};  // token of a byte in the ByteLevel alphabet, or -1
  std::array<int32_t, 256> byte_fallback_ids_{};  // <0x00> … <0xFF>, or -1
  std::optional<int32_t> unknown_id_;
  bool byte_fallback_ = false;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;
};

}  // namespace athanor

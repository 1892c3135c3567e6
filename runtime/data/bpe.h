// The BPE model of tokenizer.json: vocabulary, merges, and the encoding of one word. Internal to
// runtime/data.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/merge_table.h"
#include "runtime/data/subword_model.h"

namespace athanor {

// Code point → id of the token that is this character, or -1. Pages of 256 code points.
class CharacterTable {
 public:
  CharacterTable() : pages_(kPages, -1) {}
  void set(char32_t c, int32_t id);
  int32_t find(char32_t c) const {
    const int32_t page = pages_[c >> 8];
    return page < 0 ? -1 : ids_[static_cast<size_t>(page) + (c & 0xFF)];
  }

 private:
  static constexpr size_t kPages = 0x110000 >> 8;
  std::vector<int32_t> pages_;  // where the page begins in ids_, or -1
  std::vector<int32_t> ids_;
};

class BpeModel : public SubwordModel {
 public:
  static BpeModel from_json(const JsonField& model);

  void encode(std::string_view word, bool byte_level, SubwordScratch& scratch,
              std::vector<WordToken>& out) const override;

  // Words of characters end between two characters that have tokens and that no merge joins.
  int64_t stretch_end(std::string_view word, int64_t begin) const override;

 private:
  void load_vocabulary(const JsonField& vocab);
  void load_merges(const JsonField& merges);
  bool whole_word(std::string_view word, bool byte_level, std::vector<WordToken>& out) const;
  void symbols_of_bytes(std::string_view word, std::vector<WordToken>& symbols) const;
  void symbols_of_characters(std::string_view word, std::vector<WordToken>& symbols) const;
  bool falls_back_to_bytes(std::string_view symbol) const;

  MergeTable merges_;
  JoinedCharacters joined_characters_;
  CharacterTable characters_;
  std::array<int32_t, 256> byte_level_ids_{};  // token of a byte in the ByteLevel alphabet, or -1
  std::array<int32_t, 256> byte_fallback_ids_{};  // <0x00> … <0xFF>, or -1
  std::optional<int32_t> unknown_id_;
  bool byte_fallback_ = false;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;
  bool shared_ids_ = false;  // two tokens have one id
  bool may_be_cut_ = false;  // stretch_end may answer less than the whole word
};

}  // namespace athanor

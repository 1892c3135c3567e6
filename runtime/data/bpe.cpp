// Loading a BPE model, and the symbols that a word begins as.
#include "runtime/data/bpe.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/data/byte_level.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

void refuse_unsupported(const JsonField& model) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const auto field = model.find(key); field && !field->string().empty()) {
      field->fail("a non-empty " + std::string(key) + " is not supported");
    }
  }
  if (const auto dropout = model.find("dropout")) {
    if (!dropout->value().is_number() || dropout->value().get<double>() != 0) {
      dropout->fail("BPE dropout is not supported");
    }
  }
}

std::pair<std::string, std::string> merge_parts(const JsonField& merges, size_t index) {
  const nlohmann::json& entry = merges.value()[index];
  const auto fail = [&](const char* message) {
    JsonField(entry, merges.place(), merges.path() + "[" + std::to_string(index) + "]")
        .fail(message);
  };
  if (entry.is_string()) {
    const std::string& line = entry.get_ref<const std::string&>();
    const size_t space = line.find(' ');
    if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) {
      fail("expected two tokens with one space between");
    }
    return {line.substr(0, space), line.substr(space + 1)};
  }
  if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_string()) {
    fail("expected \"left right\" or [\"left\", \"right\"]");
  }
  return {entry[0].get<std::string>(), entry[1].get<std::string>()};
}

// Where the last character of a text that is not empty begins.
int64_t last_character(std::string_view text) {
  int64_t at = static_cast<int64_t>(text.size()) - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

// Symbols of a word in order. What has no token becomes the unknown one; without that, Hugging Face
// drops it, and its bytes go to a neighbour.
class SymbolList {
 public:
  SymbolList(std::vector<WordToken>& symbols, std::optional<int32_t> unknown, bool fuse)
      : symbols_(symbols), unknown_(unknown), fuse_(fuse) {
    symbols_.clear();
  }

  void push(int32_t id, int64_t bytes) {
    symbols_.push_back({id, bytes + dropped_});
    dropped_ = 0;
    fusing_ = false;
  }

  void push_unknown(int64_t bytes) {
    if (!unknown_) {
      (symbols_.empty() ? dropped_ : symbols_.back().bytes) += bytes;
    } else if (fusing_ && fuse_) {
      symbols_.back().bytes += bytes;
    } else {
      push(*unknown_, bytes);
    }
    fusing_ = true;
  }

 private:
  std::vector<WordToken>& symbols_;
  std::optional<int32_t> unknown_;
  bool fuse_;
  bool fusing_ = false;
  int64_t dropped_ = 0;  // bytes before the first symbol that has a token
};

}  // namespace

void CharacterTable::set(char32_t c, int32_t id) {
  int32_t& page = pages_[c >> 8];
  if (page < 0) {
    page = static_cast<int32_t>(ids_.size());
    ids_.resize(ids_.size() + 256, -1);
  }
  ids_[static_cast<size_t>(page) + (c & 0xFF)] = id;
}

BpeModel BpeModel::from_json(const JsonField& model) {
  refuse_unsupported(model);
  BpeModel bpe;
  bpe.byte_fallback_ = model.boolean_or("byte_fallback", false);
  bpe.fuse_unknown_ = model.boolean_or("fuse_unk", false);
  bpe.ignore_merges_ = model.boolean_or("ignore_merges", false);
  bpe.load_vocabulary(model.at("vocab"));
  bpe.load_merges(model.at("merges"));
  if (const auto unknown = model.find("unk_token")) {
    const auto entry = bpe.vocabulary_.find(unknown->string());
    if (entry == bpe.vocabulary_.end()) {
      unknown->fail("token " + in_quotes(unknown->string()) + " is not in the vocabulary");
    }
    bpe.unknown_id_ = entry->second;
  }
  // What is dropped counts with a neighbour, which must not lie beyond a cut.
  const bool drops_nothing =
      bpe.unknown_id_.has_value() ||
      (bpe.byte_fallback_ &&
       std::all_of(bpe.byte_fallback_ids_.begin(), bpe.byte_fallback_ids_.end(),
                   [](int32_t id) { return id >= 0; }));
  bpe.may_be_cut_ = drops_nothing && !bpe.ignore_merges_ && !bpe.shared_ids_;
  return bpe;
}

void BpeModel::load_vocabulary(const JsonField& vocab) {
  vocab.require_object();
  vocabulary_.reserve(vocab.value().size());
  std::vector<bool> taken;
  for (const auto& [token, id] : vocab.value().items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > uint64_t{kMaxTokenId}) {
      vocab.fail("token " + in_quotes(token) + " needs an id in [0, " +
                 std::to_string(kMaxTokenId) + "], found " + in_quotes(id.dump()));
    }
    vocabulary_.emplace(token, id.get<int32_t>());
    if (id.get<size_t>() >= taken.size()) taken.resize(id.get<size_t>() + 1, false);
    shared_ids_ = shared_ids_ || taken[id.get<size_t>()];
    taken[id.get<size_t>()] = true;
    const Utf8Step first = utf8_step(token, 0);
    if (first.valid && first.length == static_cast<int64_t>(token.size())) {
      characters_.set(first.code_point, id.get<int32_t>());
    }
  }
  const auto id_or_none = [&](std::string_view token) {
    const auto entry = vocabulary_.find(token);
    return entry == vocabulary_.end() ? -1 : entry->second;
  };
  constexpr char kHex[] = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    byte_level_ids_[byte] = id_or_none(byte_level_character(static_cast<uint8_t>(byte)));
    const char fallback[] = {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
    byte_fallback_ids_[byte] = id_or_none({fallback, sizeof(fallback)});
  }
}

void BpeModel::load_merges(const JsonField& merges) {
  merges.require_array();
  const size_t count = merges.value().size();
  merges_.reserve(static_cast<int64_t>(count));
  joined_characters_.reserve(static_cast<int64_t>(count));
  for (size_t i = 0; i < count; ++i) {
    const auto [left, right] = merge_parts(merges, i);
    const auto id_of = [&](const std::string& token) {
      const auto entry = vocabulary_.find(token);
      if (entry == vocabulary_.end()) {
        merges.fail("merge " + std::to_string(i) + " needs token " + in_quotes(token) +
                    ", which is not in the vocabulary");
      }
      return entry->second;
    };
    merges_.set(id_of(left), id_of(right), {narrow<uint32_t>(i), id_of(left + right)});
    if (left.empty() || right.empty()) continue;
    joined_characters_.add(utf8_step(left, last_character(left)).code_point,
                           utf8_step(right, 0).code_point);
  }
}

bool BpeModel::whole_word(std::string_view word, bool byte_level,
                          std::vector<WordToken>& out) const {
  std::string mapped;
  if (byte_level) {
    for (const char c : word) mapped += byte_level_character(static_cast<uint8_t>(c));
  }
  const auto entry = byte_level ? vocabulary_.find(mapped) : vocabulary_.find(word);
  if (entry == vocabulary_.end()) return false;
  out.push_back({entry->second, static_cast<int64_t>(word.size())});
  return true;
}

bool BpeModel::falls_back_to_bytes(std::string_view symbol) const {
  return byte_fallback_ && std::all_of(symbol.begin(), symbol.end(), [&](char c) {
           return byte_fallback_ids_[static_cast<uint8_t>(c)] >= 0;
         });
}

void BpeModel::symbols_of_bytes(std::string_view word, std::vector<WordToken>& symbols) const {
  SymbolList list(symbols, unknown_id_, fuse_unknown_);
  for (const char c : word) {
    const int32_t id = byte_level_ids_[static_cast<uint8_t>(c)];
    id >= 0 ? list.push(id, 1) : list.push_unknown(1);
  }
}

void BpeModel::symbols_of_characters(std::string_view word, std::vector<WordToken>& symbols) const {
  SymbolList list(symbols, unknown_id_, fuse_unknown_);
  const int64_t size = static_cast<int64_t>(word.size());
  for (int64_t at = 0; at < size;) {
    const Utf8Step step = utf8_step(word, at);
    const std::string_view symbol = word.substr(at, step.length);
    at += step.length;
    const int32_t id = step.valid ? characters_.find(step.code_point) : -1;
    if (id >= 0) {
      list.push(id, step.length);
    } else if (falls_back_to_bytes(symbol)) {
      for (const char c : symbol) list.push(byte_fallback_ids_[static_cast<uint8_t>(c)], 1);
    } else {
      list.push_unknown(step.length);
    }
  }
}

void BpeModel::encode(std::string_view word, bool byte_level, SubwordScratch& scratch,
                      std::vector<WordToken>& out) const {
  if (word.empty()) return;
  if (ignore_merges_ && whole_word(word, byte_level, out)) return;
  byte_level ? symbols_of_bytes(word, scratch.symbols)
             : symbols_of_characters(word, scratch.symbols);
  merges_.join(scratch);
  out.insert(out.end(), scratch.symbols.begin(), scratch.symbols.end());
}

int64_t BpeModel::stretch_end(std::string_view word, int64_t begin) const {
  const int64_t size = static_cast<int64_t>(word.size());
  if (!may_be_cut_ || begin >= size) return size;
  Utf8Step left = utf8_step(word, begin);
  bool left_known = characters_.find(left.code_point) >= 0;
  for (int64_t at = begin + left.length; at < size;) {
    const Utf8Step right = utf8_step(word, at);
    const bool right_known = characters_.find(right.code_point) >= 0;
    if (left_known && right_known && !joined_characters_.maybe(left.code_point, right.code_point)) {
      return at;
    }
    at += right.length;
    left = right;
    left_known = right_known;
  }
  return size;
}

}  // namespace athanor

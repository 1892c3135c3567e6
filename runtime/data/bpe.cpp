// BPE: join the adjacent pair of lowest rank, the leftmost first, until no pair can be joined.
// Short words scan their pairs; long ones keep a heap over a linked list, O(n log n).
#include "runtime/data/bpe.h"

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>
#include <queue>

#include "core/error.h"
#include "runtime/data/byte_level.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

using Token = BpeModel::Token;

// Where scanning and heap cost about the same.
constexpr int64_t kLongWord = 48;

uint64_t pair_key(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

void merge_short(const MergeTable& table, std::vector<Token>& symbols) {
  std::vector<MergeTable::Merge> pairs;
  const auto pair_at = [&](size_t i) {
    const MergeTable::Merge* merge = table.find(symbols[i].id, symbols[i + 1].id);
    return merge == nullptr ? MergeTable::Merge{} : *merge;
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) pairs.push_back(pair_at(i));
  while (true) {
    size_t best = pairs.size();
    for (size_t i = 0; i < pairs.size(); ++i) {
      if (pairs[i].joined >= 0 && (best == pairs.size() || pairs[i].rank < pairs[best].rank)) {
        best = i;
      }
    }
    if (best == pairs.size()) return;
    symbols[best] = {pairs[best].joined, symbols[best].bytes + symbols[best + 1].bytes};
    symbols.erase(symbols.begin() + static_cast<int64_t>(best) + 1);
    pairs.erase(pairs.begin() + static_cast<int64_t>(best));
    if (best > 0) pairs[best - 1] = pair_at(best - 1);
    if (best < pairs.size()) pairs[best] = pair_at(best);
  }
}

class LongWordMerger {
 public:
  LongWordMerger(const MergeTable& table, std::vector<Token>& symbols)
      : table_(table), symbols_(symbols), links_(symbols.size()) {
    const int64_t n = static_cast<int64_t>(symbols.size());
    for (int64_t i = 0; i < n; ++i) links_[i] = {i - 1, i + 1 < n ? i + 1 : -1};
  }

  void run() {
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) push(static_cast<int64_t>(i));
    while (!heap_.empty()) {
      const Candidate top = heap_.top();
      heap_.pop();
      if (is_current(top)) join(top);
    }
    std::erase_if(symbols_, [](const Token& symbol) { return symbol.id < 0; });
  }

 private:
  struct Link {
    int64_t previous = -1;
    int64_t next = -1;
  };
  struct Candidate {
    uint32_t rank;
    int32_t joined;
    int64_t left;
  };
  struct Later {
    bool operator()(const Candidate& a, const Candidate& b) const {
      return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
    }
  };

  void push(int64_t left) {
    const int64_t right = links_[left].next;
    if (right < 0) return;
    if (const auto* merge = table_.find(symbols_[left].id, symbols_[right].id)) {
      heap_.push({merge->rank, merge->joined, left});
    }
  }

  // The symbols may have changed since the candidate was pushed.
  bool is_current(const Candidate& candidate) const {
    const int64_t right = links_[candidate.left].next;
    if (symbols_[candidate.left].id < 0 || right < 0) return false;
    const auto* merge = table_.find(symbols_[candidate.left].id, symbols_[right].id);
    return merge != nullptr && merge->rank == candidate.rank;
  }

  void join(const Candidate& candidate) {
    const int64_t left = candidate.left;
    const int64_t right = links_[left].next;
    symbols_[left] = {candidate.joined, symbols_[left].bytes + symbols_[right].bytes};
    symbols_[right].id = -1;
    links_[left].next = links_[right].next;
    if (links_[left].next >= 0) links_[links_[left].next].previous = left;
    if (links_[left].previous >= 0) push(links_[left].previous);
    push(left);
  }

  const MergeTable& table_;
  std::vector<Token>& symbols_;
  std::vector<Link> links_;
  std::priority_queue<Candidate, std::vector<Candidate>, Later> heap_;
};

void refuse_unsupported(const JsonField& model) {
  const std::string& type = model.at("type").string();
  if (type != "BPE") model.fail("model type " + in_quotes(type) + " is not supported (known: BPE)");
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

}  // namespace

void MergeTable::reserve(int64_t merges) {
  slots_.assign(std::bit_ceil(static_cast<uint64_t>(merges) * 2 + 2), Slot{});
  mask_ = slots_.size() - 1;
}

size_t MergeTable::slot_of(uint64_t key) const {
  uint64_t hash = key * 0x9E3779B97F4A7C15ull;
  hash ^= hash >> 32;
  size_t at = hash & mask_;
  while (slots_[at].key != key && slots_[at].key != kEmpty) at = (at + 1) & mask_;
  return at;
}

void MergeTable::set(int32_t left, int32_t right, Merge merge) {
  const uint64_t key = pair_key(left, right);
  slots_[slot_of(key)] = {key, merge};
}

const MergeTable::Merge* MergeTable::find(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right);
  const Slot& slot = slots_[slot_of(key)];
  return slot.key == key ? &slot.merge : nullptr;
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
  return bpe;
}

void BpeModel::load_vocabulary(const JsonField& vocab) {
  vocab.require_object();
  vocabulary_.reserve(vocab.value().size());
  for (const auto& [token, id] : vocab.value().items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > uint64_t{kMaxTokenId}) {
      vocab.fail("token " + in_quotes(token) + " needs an id in [0, " +
                 std::to_string(kMaxTokenId) + "], found " + in_quotes(id.dump()));
    }
    vocabulary_.emplace(token, id.get<int32_t>());
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
  }
}

bool BpeModel::whole_word(std::string_view word, bool byte_level, std::vector<Token>& out) const {
  std::string mapped;
  if (byte_level) {
    for (const char c : word) mapped += byte_level_character(static_cast<uint8_t>(c));
  }
  const auto entry = byte_level ? vocabulary_.find(mapped) : vocabulary_.find(word);
  if (entry == vocabulary_.end()) return false;
  out.push_back({entry->second, static_cast<int64_t>(word.size())});
  return true;
}

std::vector<Token> BpeModel::symbols_of(std::string_view word, bool byte_level) const {
  std::vector<Token> symbols;
  symbols.reserve(word.size());
  int64_t dropped = 0;  // bytes before the first symbol that has a token
  const auto push = [&](int32_t id, int64_t bytes) {
    symbols.push_back({id, bytes + dropped});
    dropped = 0;
  };
  bool fusing = false;
  const int64_t size = static_cast<int64_t>(word.size());
  for (int64_t at = 0; at < size;) {
    const int64_t length = byte_level ? 1 : std::min<int64_t>(utf8_length(word[at]), size - at);
    const std::string_view symbol = word.substr(at, length);
    const auto byte_of = [&](int64_t i) { return static_cast<uint8_t>(symbol[i]); };
    int32_t id = -1;
    if (byte_level) {
      id = byte_level_ids_[byte_of(0)];
    } else if (const auto entry = vocabulary_.find(symbol); entry != vocabulary_.end()) {
      id = entry->second;
    }
    at += length;
    const bool by_bytes = id < 0 && byte_fallback_ && !byte_level &&
                          std::all_of(symbol.begin(), symbol.end(), [&](char c) {
                            return byte_fallback_ids_[static_cast<uint8_t>(c)] >= 0;
                          });
    if (id >= 0) {
      push(id, length);
    } else if (by_bytes) {
      for (int64_t i = 0; i < length; ++i) push(byte_fallback_ids_[byte_of(i)], 1);
    } else if (unknown_id_) {
      if (fusing && fuse_unknown_) {
        symbols.back().bytes += length;
      } else {
        push(*unknown_id_, length);
      }
    } else {
      // Hugging Face drops what it has no token for; its bytes go to a neighbour.
      (symbols.empty() ? dropped : symbols.back().bytes) += length;
    }
    fusing = id < 0 && !by_bytes;
  }
  return symbols;
}

void BpeModel::encode(std::string_view word, bool byte_level, std::vector<Token>& out) const {
  if (word.empty()) return;
  if (ignore_merges_ && whole_word(word, byte_level, out)) return;
  std::vector<Token> symbols = symbols_of(word, byte_level);
  if (static_cast<int64_t>(symbols.size()) < kLongWord) {
    merge_short(merges_, symbols);
  } else {
    LongWordMerger(merges_, symbols).run();
  }
  out.insert(out.end(), symbols.begin(), symbols.end());
}

}  // namespace athanor

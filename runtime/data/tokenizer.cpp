// Tokenizer: added tokens are cut out, the rest is normalized, cut into words, and encoded by the
// model or from a cache of words.
#include "runtime/data/tokenizer.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/data/added_tokens.h"
#include "runtime/data/decoder.h"
#include "runtime/data/json_field.h"
#include "runtime/data/json_text.h"
#include "runtime/data/normalizer.h"
#include "runtime/data/pre_tokenizer.h"
#include "runtime/data/special_tokens.h"
#include "runtime/data/subword_model.h"
#include "runtime/data/utf8.h"
#include "runtime/data/word_cache.h"

namespace athanor {

namespace {

// What a thread needs while it encodes, kept for the next text.
struct EncodeState {
  WordCache cache;
  SubwordScratch scratch;
  std::vector<WordToken> tokens;
};

// States that no thread uses now; as many exist as threads have encoded at once.
class StatePool {
 public:
  std::unique_ptr<EncodeState> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<EncodeState>();
    std::unique_ptr<EncodeState> state = std::move(free_.back());
    free_.pop_back();
    return state;
  }
  void give_back(std::unique_ptr<EncodeState> state) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(state));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<EncodeState>> free_;
};

}  // namespace

struct Tokenizer::Impl {
  std::unique_ptr<SubwordModel> model;
  mutable StatePool states;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Decoder decoder;
  PostProcessor post_processor;
  AddedTokenMatcher original_matcher;    // in the text as given
  AddedTokenMatcher normalized_matcher;  // in the normalized text
  Vocabulary added_ids;
  std::vector<std::optional<std::string>> tokens;  // by id
  std::vector<bool> special;                       // by id
  std::optional<int32_t> bos_id;
  std::vector<int32_t> eos_ids;

  void load(const JsonField& root);
  void add_tokens(const JsonField& list);
  void name_token(int32_t id, const std::string& token);
  void resolve_special_tokens(const SpecialTokens& names);

  std::optional<int32_t> find(std::string_view token) const;
  void encode_segment(std::string_view text, ByteSpan span, EncodeState& state,
                      Encoding& out) const;
  void encode_words(AlignedText text, EncodeState& state, Encoding& out) const;
  void encode_word(const AlignedText& text, ByteSpan word, EncodeState& state, Encoding& out) const;
};

void Tokenizer::Impl::load(const JsonField& root) {
  root.require_object();
  for (const char* key : {"truncation", "padding"}) {
    if (const auto field = root.find(key)) field->require_object();
  }
  model = SubwordModel::from_json(root.at("model"));
  normalizer = Normalizer::from_json(root.find("normalizer"));
  pre_tokenizer = PreTokenizer::from_json(root.find("pre_tokenizer"));
  if (pre_tokenizer.byte_level() && !model->takes_byte_level()) {
    root.at("pre_tokenizer").fail("ByteLevel before a model that has no bytes is not supported");
  }
  decoder = Decoder::from_json(root.find("decoder"));
  post_processor = PostProcessor::from_json(root.find("post_processor"));
  for (const auto& [token, id] : model->vocabulary()) name_token(id, token);
  if (const auto added = root.find("added_tokens")) add_tokens(*added);
  for (const std::vector<int32_t>* side : {&post_processor.prefix, &post_processor.suffix}) {
    for (const int32_t id : *side) {
      if (id >= static_cast<int64_t>(tokens.size()) || !tokens[id]) {
        root.at("post_processor").fail("id " + std::to_string(id) + " is not in the vocabulary");
      }
    }
  }
}

void Tokenizer::Impl::name_token(int32_t id, const std::string& token) {
  if (id >= static_cast<int64_t>(tokens.size())) {
    tokens.resize(static_cast<size_t>(id) + 1);
    special.resize(static_cast<size_t>(id) + 1, false);
  }
  tokens[id] = token;
}

void Tokenizer::Impl::add_tokens(const JsonField& list) {
  for (const JsonField& entry : list.items()) {
    AddedToken token;
    token.content = entry.at("content").string();
    if (token.content.empty()) continue;
    const JsonField id = entry.at("id");
    if (id.integer() < 0 || id.integer() > kMaxTokenId) {
      id.fail("expected an id in [0, " + std::to_string(kMaxTokenId) + "], found " +
              std::to_string(id.integer()));
    }
    // A token that the model has keeps the model's id.
    token.id = find(token.content).value_or(static_cast<int32_t>(id.integer()));
    token.special = entry.boolean_or("special", false);
    token.lstrip = entry.boolean_or("lstrip", false);
    token.rstrip = entry.boolean_or("rstrip", false);
    token.single_word = entry.boolean_or("single_word", false);
    token.normalized = entry.boolean_or("normalized", !token.special);
    added_ids.insert_or_assign(token.content, token.id);
    name_token(token.id, token.content);
    special[token.id] = token.special;
    if (token.normalized) {
      normalized_matcher.add(normalizer.apply(AlignedText(token.content, 0)).text(), token);
    } else {
      original_matcher.add(token.content, token);
    }
  }
}

void Tokenizer::Impl::resolve_special_tokens(const SpecialTokens& names) {
  const auto named = [&](const char* key, const std::string& token) -> std::optional<int32_t> {
    if (token.empty()) return std::nullopt;
    const std::optional<int32_t> id = find(token);
    if (!id) {
      throw Error(ErrorKind::kBadInput, names.file + ": " + key + ": token " + in_quotes(token) +
                                            " is not in the vocabulary of tokenizer.json");
    }
    return id;
  };
  const auto valid = [](int64_t id) { return id >= 0 && id <= kMaxTokenId; };
  bos_id = named("bos_token", names.bos_token);
  if (!bos_id && names.bos_id && valid(*names.bos_id)) {
    bos_id = static_cast<int32_t>(*names.bos_id);
  }
  if (const auto eos = named("eos_token", names.eos_token)) eos_ids.push_back(*eos);
  for (const int64_t id : names.eos_ids) {
    if (valid(id) && std::find(eos_ids.begin(), eos_ids.end(), id) == eos_ids.end()) {
      eos_ids.push_back(static_cast<int32_t>(id));
    }
  }
}

std::optional<int32_t> Tokenizer::Impl::find(std::string_view token) const {
  if (const auto added = added_ids.find(token); added != added_ids.end()) return added->second;
  const auto entry = model->vocabulary().find(token);
  if (entry == model->vocabulary().end()) return std::nullopt;
  return entry->second;
}

void Tokenizer::Impl::encode_segment(std::string_view text, ByteSpan span, EncodeState& state,
                                     Encoding& out) const {
  AlignedText normalized =
      normalizer.apply(AlignedText(text.substr(span.begin, span.size()), span.begin));
  const std::vector<TextSegment> segments = normalized_matcher.split(normalized.text());
  if (segments.size() == 1 && segments.front().id < 0) {
    encode_words(std::move(normalized), state, out);
    return;
  }
  for (const TextSegment& segment : segments) {
    if (segment.id >= 0) {
      out.ids.push_back(segment.id);
      out.spans.push_back(normalized.origin(segment.span));
    } else {
      encode_words(normalized.slice(segment.span), state, out);
    }
  }
}

void Tokenizer::Impl::encode_words(AlignedText text, EncodeState& state, Encoding& out) const {
  const PreTokenized words = pre_tokenizer.apply(std::move(text));
  const std::string_view all = words.text.text();
  for (const ByteSpan word : words.pieces) {
    if (pre_tokenizer.byte_level()) {
      encode_word(words.text, word, state, out);
      continue;
    }
    for (int64_t at = word.begin; at < word.end;) {
      const int64_t end = model->stretch_end(all.substr(0, static_cast<size_t>(word.end)), at);
      encode_word(words.text, {at, end}, state, out);
      at = end;
    }
  }
}

void Tokenizer::Impl::encode_word(const AlignedText& text, ByteSpan span, EncodeState& state,
                                  Encoding& out) const {
  const std::string_view word = text.view(span);
  int64_t at = span.begin;
  const auto put = [&](int32_t id, int64_t bytes) {
    out.ids.push_back(id);
    out.spans.push_back(text.origin({at, at + bytes}));
    at += bytes;
  };
  WordCache::Entry* entry = WordCache::holds(word) ? &state.cache.place(word) : nullptr;
  if (entry != nullptr && WordCache::has(*entry, word)) {
    for (size_t i = 0; i < entry->count; ++i) put(entry->ids[i], entry->bytes[i]);
    return;
  }
  state.tokens.clear();
  model->encode(word, pre_tokenizer.byte_level(), state.scratch, state.tokens);
  for (const WordToken& token : state.tokens) put(token.id, token.bytes);
  if (entry != nullptr) {
    WordCache::put(*entry, word, state.tokens.data(), state.tokens.size());
  }
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer Tokenizer::load(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(path, ignored);
  const std::filesystem::path file = is_folder ? path / "tokenizer.json" : path;
  auto impl = std::make_unique<Impl>();
  {
    const nlohmann::json config =
        parse_json(read_text_file(file, ErrorKind::kConfig), file.string());
    impl->load(JsonField(config, file.string()));
  }
  impl->resolve_special_tokens(SpecialTokens::load(file.parent_path()));
  return Tokenizer(std::move(impl));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  return encode_with_spans(text, add_special_tokens).ids;
}

Encoding Tokenizer::encode_with_spans(std::string_view text, bool add_special_tokens) const {
  if (const std::optional<int64_t> at = first_invalid_utf8(text)) {
    throw Error(ErrorKind::kBadInput,
                "the text to tokenize is not valid UTF-8 at byte " + std::to_string(*at));
  }
  Encoding out;
  std::unique_ptr<EncodeState> state = impl_->states.take();
  if (add_special_tokens) {
    out.ids = prefix_ids();
    out.spans.resize(out.ids.size());
  }
  for (const TextSegment& segment : impl_->original_matcher.split(text)) {
    if (segment.id >= 0) {
      out.ids.push_back(segment.id);
      out.spans.push_back(segment.span);
    } else {
      impl_->encode_segment(text, segment.span, *state, out);
    }
  }
  impl_->states.give_back(std::move(state));
  if (add_special_tokens) {
    const int64_t end = static_cast<int64_t>(text.size());
    out.ids.insert(out.ids.end(), suffix_ids().begin(), suffix_ids().end());
    out.spans.resize(out.ids.size(), {end, end});
  }
  return out;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids) {
    const std::optional<std::string_view> token = id_to_token(id);
    if (!token || (skip_special_tokens && impl_->special[id])) continue;
    tokens.emplace_back(*token);
  }
  return impl_->decoder.apply(std::move(tokens));
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  return impl_->find(token);
}

std::optional<std::string_view> Tokenizer::id_to_token(int32_t id) const {
  if (id < 0 || id >= vocab_size() || !impl_->tokens[id]) return std::nullopt;
  return *impl_->tokens[id];
}

bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && id < vocab_size() && impl_->special[id];
}

int64_t Tokenizer::vocab_size() const { return static_cast<int64_t>(impl_->tokens.size()); }
const std::vector<int32_t>& Tokenizer::prefix_ids() const { return impl_->post_processor.prefix; }
const std::vector<int32_t>& Tokenizer::suffix_ids() const { return impl_->post_processor.suffix; }
std::optional<int32_t> Tokenizer::bos_id() const { return impl_->bos_id; }
const std::vector<int32_t>& Tokenizer::eos_ids() const { return impl_->eos_ids; }

std::optional<int32_t> Tokenizer::eos_id() const {
  if (eos_ids().empty()) return std::nullopt;
  return eos_ids().front();
}

std::string Tokenizer::bos_token() const {
  return bos_id() ? std::string(id_to_token(*bos_id()).value_or("")) : "";
}

std::string Tokenizer::eos_token() const {
  return eos_id() ? std::string(id_to_token(*eos_id()).value_or("")) : "";
}

}  // namespace athanor

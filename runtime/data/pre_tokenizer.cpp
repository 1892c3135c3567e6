// Pre-tokenizers, each a function that cuts or edits the pieces so far.
#include "runtime/data/pre_tokenizer.h"

#include <algorithm>
#include <memory>

#include "runtime/data/normalizer.h"
#include "runtime/data/regex.h"
#include "runtime/data/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

Behavior behavior_named(const std::string& name, const JsonField& place) {
  static constexpr std::pair<std::string_view, Behavior> kBehaviors[] = {
      {"Removed", Behavior::kRemoved},
      {"Isolated", Behavior::kIsolated},
      {"MergedWithPrevious", Behavior::kMergedWithPrevious},
      {"MergedWithNext", Behavior::kMergedWithNext},
      {"Contiguous", Behavior::kContiguous}};
  for (const auto& [known, behavior] : kBehaviors) {
    if (known == name) return behavior;
  }
  place.fail("unknown behavior " + in_quotes(name));
}

struct Part {
  ByteSpan span;
  bool is_match = false;
};

// Matches and what lies between them, covering [0, size).
std::vector<Part> cover(const std::vector<ByteSpan>& matches, int64_t size, bool invert) {
  std::vector<Part> parts;
  int64_t from = 0;
  for (const ByteSpan match : matches) {
    if (from < match.begin) parts.push_back({{from, match.begin}, invert});
    parts.push_back({match, !invert});
    from = match.end;
  }
  if (from < size) parts.push_back({{from, size}, invert});
  return parts;
}

std::vector<ByteSpan> merge_with_previous(const std::vector<Part>& parts) {
  std::vector<ByteSpan> out;
  bool previous_match = false;
  for (const Part& part : parts) {
    if (part.is_match && !previous_match && !out.empty()) {
      out.back().end = part.span.end;
    } else {
      out.push_back(part.span);
    }
    previous_match = part.is_match;
  }
  return out;
}

std::vector<ByteSpan> merge_with_next(const std::vector<Part>& parts) {
  std::vector<ByteSpan> out;
  bool next_match = false;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (part->is_match && !next_match && !out.empty()) {
      out.back().begin = part->span.begin;
    } else {
      out.push_back(part->span);
    }
    next_match = part->is_match;
  }
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<ByteSpan> arrange(const std::vector<Part>& parts, Behavior behavior) {
  std::vector<ByteSpan> out;
  switch (behavior) {
    case Behavior::kMergedWithPrevious:
      return merge_with_previous(parts);
    case Behavior::kMergedWithNext:
      return merge_with_next(parts);
    case Behavior::kRemoved:
      for (const Part& part : parts) {
        if (!part.is_match) out.push_back(part.span);
      }
      return out;
    case Behavior::kIsolated:
      for (const Part& part : parts) out.push_back(part.span);
      return out;
    case Behavior::kContiguous:
      for (size_t i = 0; i < parts.size(); ++i) {
        if (i > 0 && parts[i].is_match == parts[i - 1].is_match) {
          out.back().end = parts[i].span.end;
        } else {
          out.push_back(parts[i].span);
        }
      }
      return out;
  }
  return out;
}

// arrange(cover(…), kIsolated) in one go: what most published tokenizers do with most text.
void append_isolated(const std::vector<ByteSpan>& matches, ByteSpan piece,
                     std::vector<ByteSpan>& out) {
  out.reserve(out.size() + matches.size() + 1);
  int64_t from = 0;
  for (const ByteSpan match : matches) {
    if (from < match.begin) out.push_back({piece.begin + from, piece.begin + match.begin});
    out.push_back({piece.begin + match.begin, piece.begin + match.end});
    from = match.end;
  }
  if (from < piece.size()) out.push_back({piece.begin + from, piece.end});
}

std::function<void(PreTokenized&)> split_step(Pattern pattern, Behavior behavior, bool invert) {
  auto shared = std::make_shared<const Pattern>(std::move(pattern));
  return [shared, behavior, invert](PreTokenized& state) {
    std::vector<ByteSpan> out;
    for (const ByteSpan piece : state.pieces) {
      const std::vector<ByteSpan> matches = shared->find_all(state.text.view(piece));
      if (behavior == Behavior::kIsolated) {  // whatever `invert` says
        append_isolated(matches, piece, out);
        continue;
      }
      for (const ByteSpan part : arrange(cover(matches, piece.size(), invert), behavior)) {
        out.push_back({piece.begin + part.begin, piece.begin + part.end});
      }
    }
    state.pieces = std::move(out);
  };
}

// Each character that `is_match` takes is a match of its own.
template <class IsMatch>
std::function<void(PreTokenized&)> character_step(IsMatch is_match, Behavior behavior) {
  return [is_match, behavior](PreTokenized& state) {
    std::vector<ByteSpan> out;
    for (const ByteSpan piece : state.pieces) {
      std::vector<ByteSpan> matches;
      const std::string_view view = state.text.view(piece);
      for (int64_t at = 0; at < piece.size();) {
        const Utf8Step step = utf8_step(view, at);
        if (is_match(step.code_point)) matches.push_back({at, at + step.length});
        at += step.length;
      }
      for (const ByteSpan part : arrange(cover(matches, piece.size(), false), behavior)) {
        out.push_back({piece.begin + part.begin, piece.begin + part.end});
      }
    }
    state.pieces = std::move(out);
  };
}

// Runs of word characters and runs of signs; white space goes.
void split_words(PreTokenized& state) {
  std::vector<ByteSpan> out;
  for (const ByteSpan piece : state.pieces) {
    int previous = 0;  // 0 white space, 1 word, 2 sign
    for (int64_t at = piece.begin; at < piece.end;) {
      const Utf8Step step = utf8_step(state.text.text(), at);
      const int kind = is_word_character(step.code_point) ? 1
                       : is_white_space(step.code_point)  ? 0
                                                          : 2;
      if (kind != 0 && kind != previous) out.push_back({at, at});
      at += step.length;
      if (kind != 0) out.back().end = at;
      previous = kind;
    }
  }
  state.pieces = std::move(out);
}

// Edits piece by piece: `spaces` become `replacement`, and `prefix` goes in front of pieces that
// pass `wants_prefix`.
template <class WantsPrefix>
void rewrite(PreTokenized& state, const Pattern* spaces, const std::string& replacement,
             const WantsPrefix& wants_prefix) {
  AlignedTextBuilder builder(state.text);
  for (ByteSpan& piece : state.pieces) {
    const int64_t begin = builder.size();
    if (wants_prefix(piece)) builder.put(replacement, {piece.begin, piece.begin});
    int64_t from = piece.begin;
    if (spaces != nullptr) {
      for (const ByteSpan match : spaces->find_all(state.text.view(piece))) {
        builder.keep({from, piece.begin + match.begin});
        builder.put(replacement, {piece.begin + match.begin, piece.begin + match.end});
        from = piece.begin + match.end;
      }
    }
    builder.keep({from, piece.end});
    piece = {begin, builder.size()};
  }
  state.text = std::move(builder).finish();
}

void add_prefix_space(PreTokenized& state) {
  const auto wants = [&](ByteSpan piece) {
    return piece.size() > 0 && !state.text.view(piece).starts_with(' ');
  };
  if (std::any_of(state.pieces.begin(), state.pieces.end(), wants)) {
    rewrite(state, nullptr, " ", wants);
  }
}

}  // namespace

MetaspaceConfig MetaspaceConfig::from_json(const JsonField& config) {
  MetaspaceConfig result;
  result.replacement = config.at("replacement").string();
  if (result.replacement.empty()) config.at("replacement").fail("must not be empty");
  result.split = config.boolean_or("split", true);
  const bool add_prefix = config.boolean_or("add_prefix_space", true);
  const std::string scheme = config.string_or("prepend_scheme", add_prefix ? "always" : "never");
  if (scheme == "always") {
    result.prepend = Prepend::kAlways;
  } else if (scheme == "first") {
    result.prepend = Prepend::kFirst;
  } else if (scheme == "never") {
    result.prepend = Prepend::kNever;
  } else {
    config.at("prepend_scheme").fail("expected always, first or never, found " + in_quotes(scheme));
  }
  return result;
}

PreTokenizer PreTokenizer::from_json(const std::optional<JsonField>& config) {
  PreTokenizer result;
  if (config) result.add(*config);
  return result;
}

void PreTokenizer::add(const JsonField& config) {
  const std::string& type = config.at("type").string();
  if (type == "Sequence") {
    for (const JsonField& item : config.at("pretokenizers").items()) add(item);
    return;
  }
  if (byte_level_)
    config.fail("pre_tokenizer " + in_quotes(type) + " after ByteLevel is not supported");
  if (type == "ByteLevel") {
    add_byte_level(config);
  } else if (type == "Split") {
    add_split(config);
  } else if (type == "Digits") {
    const bool individual = config.boolean_or("individual_digits", false);
    steps_.push_back(
        character_step(is_number, individual ? Behavior::kIsolated : Behavior::kContiguous));
  } else if (type == "Metaspace") {
    add_metaspace(config);
  } else if (type == "Punctuation") {
    steps_.push_back(character_step(
        is_punctuation, behavior_named(config.string_or("behavior", "Isolated"), config)));
  } else if (type == "Whitespace") {
    steps_.push_back(split_words);
  } else if (type == "WhitespaceSplit") {
    steps_.push_back(character_step(is_white_space, Behavior::kRemoved));
  } else if (type == "BertPreTokenizer") {
    steps_.push_back(character_step(is_white_space, Behavior::kRemoved));
    steps_.push_back(character_step(is_punctuation, Behavior::kIsolated));
  } else {
    config.fail(
        "pre_tokenizer type " + in_quotes(type) +
        " is not supported (known: Sequence, ByteLevel, Split, Digits, Metaspace, Punctuation, "
        "Whitespace, WhitespaceSplit, BertPreTokenizer)");
  }
}

void PreTokenizer::add_byte_level(const JsonField& config) {
  if (config.boolean_or("add_prefix_space", true)) steps_.push_back(add_prefix_space);
  if (config.boolean_or("use_regex", true)) {
    steps_.push_back(split_step(Pattern::regex(kGpt2Pattern), Behavior::kIsolated, false));
  }
  byte_level_ = true;
}

void PreTokenizer::add_split(const JsonField& config) {
  const JsonField field = config.at("behavior");
  const Behavior behavior = behavior_named(field.string(), field);
  steps_.push_back(split_step(pattern_from_json(config.at("pattern")), behavior,
                              config.boolean_or("invert", false)));
}

void PreTokenizer::add_metaspace(const JsonField& config) {
  const MetaspaceConfig metaspace = MetaspaceConfig::from_json(config);
  auto space = std::make_shared<const Pattern>(Pattern::literal(" "));
  steps_.push_back([metaspace, space](PreTokenized& state) {
    rewrite(state, space.get(), metaspace.replacement, [&](ByteSpan piece) {
      if (piece.size() == 0 || metaspace.prepend == MetaspaceConfig::Prepend::kNever) return false;
      const std::string_view view = state.text.view(piece);
      if (view.starts_with(' ') || view.starts_with(metaspace.replacement)) return false;
      return metaspace.prepend == MetaspaceConfig::Prepend::kAlways ||
             state.text.origin(piece).begin == 0;
    });
  });
  if (metaspace.split) {
    steps_.push_back(
        split_step(Pattern::literal(metaspace.replacement), Behavior::kMergedWithNext, false));
  }
}

PreTokenized PreTokenizer::apply(AlignedText text) const {
  PreTokenized state{std::move(text), {}};
  if (state.text.size() > 0) state.pieces.push_back({0, state.text.size()});
  for (const auto& step : steps_) step(state);
  return state;
}

}  // namespace athanor

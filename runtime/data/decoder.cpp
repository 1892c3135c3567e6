// Decoders, each a function over the list of tokens.
#include "runtime/data/decoder.h"

#include <memory>

#include "runtime/data/aligned_text.h"
#include "runtime/data/byte_level.h"
#include "runtime/data/normalizer.h"
#include "runtime/data/pre_tokenizer.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

using Tokens = std::vector<std::string>;

std::string join(const Tokens& tokens, std::string_view between) {
  std::string out;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) out += between;
    out += tokens[i];
  }
  return out;
}

void decode_byte_level(Tokens& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) bytes += byte_level_bytes(token).value_or(token);
  tokens = {utf8_lossy(bytes)};
}

std::optional<char> fallback_byte(const std::string& token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + digit;
  }
  return static_cast<char>(value);
}

// A run of bytes that is not valid UTF-8 becomes one U+FFFD per byte.
void decode_byte_fallback(Tokens& tokens) {
  Tokens out;
  std::string run;
  const auto flush = [&] {
    if (run.empty()) return;
    if (!first_invalid_utf8(run)) {
      out.push_back(run);
    } else {
      for (size_t i = 0; i < run.size(); ++i) out.emplace_back(kReplacementCharacter);
    }
    run.clear();
  };
  for (std::string& token : tokens) {
    if (const std::optional<char> byte = fallback_byte(token)) {
      run.push_back(*byte);
    } else {
      flush();
      out.push_back(std::move(token));
    }
  }
  flush();
  tokens = std::move(out);
}

std::string strip(std::string_view token, std::string_view content, int64_t start, int64_t stop) {
  for (int64_t i = 0; i < start && token.starts_with(content); ++i) {
    token.remove_prefix(content.size());
  }
  for (int64_t i = 0; i < stop && token.ends_with(content); ++i) {
    token.remove_suffix(content.size());
  }
  return std::string(token);
}

std::string replaced(const std::string& token, const Pattern& pattern, const std::string& by) {
  const std::vector<ByteSpan> matches = pattern.find_all(token);
  if (matches.empty()) return token;
  return replace_all(AlignedText(token, 0), matches, by).text();
}

// What BERT's tokenizer calls clean-up, one token at a time.
std::string cleaned_up(std::string token) {
  static constexpr std::pair<const char*, const char*> kReplacements[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kReplacements) {
    token = replaced(token, Pattern::literal(from), to);
  }
  return token;
}

void decode_word_piece(Tokens& tokens, const std::string& prefix, bool cleanup) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) {
      const bool continues = tokens[i].starts_with(prefix);
      tokens[i] = continues ? tokens[i].substr(prefix.size()) : " " + tokens[i];
    }
    if (cleanup) tokens[i] = cleaned_up(std::move(tokens[i]));
  }
}

}  // namespace

Decoder Decoder::from_json(const std::optional<JsonField>& config) {
  Decoder decoder;
  if (config) decoder.add(*config);
  decoder.present_ = config.has_value();
  return decoder;
}

void Decoder::add(const JsonField& config) {
  const std::string& type = config.at("type").string();
  if (type == "Sequence") {
    for (const JsonField& item : config.at("decoders").items()) add(item);
  } else if (type == "ByteLevel") {
    steps_.push_back(decode_byte_level);
  } else if (type == "ByteFallback") {
    steps_.push_back(decode_byte_fallback);
  } else if (type == "Fuse") {
    steps_.push_back([](Tokens& tokens) { tokens = {join(tokens, "")}; });
  } else if (type == "Replace") {
    auto pattern = std::make_shared<const Pattern>(pattern_from_json(config.at("pattern")));
    steps_.push_back([pattern, content = config.at("content").string()](Tokens& tokens) {
      for (std::string& token : tokens) token = replaced(token, *pattern, content);
    });
  } else if (type == "Strip") {
    const std::string content = config.at("content").string();
    if (content.empty()) config.at("content").fail("must not be empty");
    steps_.push_back([content, start = config.at("start").integer(),
                      stop = config.at("stop").integer()](Tokens& tokens) {
      for (std::string& token : tokens) token = strip(token, content, start, stop);
    });
  } else if (type == "Metaspace") {
    const MetaspaceConfig metaspace = MetaspaceConfig::from_json(config);
    auto pattern = std::make_shared<const Pattern>(Pattern::literal(metaspace.replacement));
    steps_.push_back([metaspace, pattern](Tokens& tokens) {
      for (size_t i = 0; i < tokens.size(); ++i) {
        const bool drop = i == 0 && metaspace.prepend != MetaspaceConfig::Prepend::kNever;
        tokens[i] = replaced(tokens[i], *pattern, drop ? "" : " ");
      }
    });
  } else if (type == "WordPiece") {
    steps_.push_back([prefix = config.string_or("prefix", "##"),
                      cleanup = config.boolean_or("cleanup", true)](Tokens& tokens) {
      decode_word_piece(tokens, prefix, cleanup);
    });
  } else if (type == "BPEDecoder") {
    auto suffix =
        std::make_shared<const Pattern>(Pattern::literal(config.string_or("suffix", "</w>")));
    steps_.push_back([suffix](Tokens& tokens) {
      for (size_t i = 0; i < tokens.size(); ++i) {
        tokens[i] = replaced(tokens[i], *suffix, i + 1 == tokens.size() ? "" : " ");
      }
    });
  } else {
    config.fail("decoder type " + in_quotes(type) +
                " is not supported (known: Sequence, ByteLevel, Replace, ByteFallback, Fuse, "
                "Strip, Metaspace, WordPiece, BPEDecoder)");
  }
}

std::string Decoder::apply(std::vector<std::string> tokens) const {
  for (const auto& step : steps_) step(tokens);
  return join(tokens, present_ ? "" : " ");
}

}  // namespace athanor

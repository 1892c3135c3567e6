// Normalizers, each a function from text to text.
#include "runtime/data/normalizer.h"

#include <algorithm>
#include <memory>

#include "core/error.h"
#include "runtime/data/byte_level.h"
#include "runtime/data/charsmap.h"
#include "runtime/data/unicode.h"
#include "runtime/data/utf8.h"

namespace athanor {
namespace {

AlignedText prepend(const AlignedText& text, const std::string& prefix) {
  if (text.size() == 0) return text;
  AlignedTextBuilder builder(text);
  builder.put(prefix, {0, 0});
  builder.keep({0, text.size()});
  return std::move(builder).finish();
}

// Each character becomes what `change` returns: itself (nullopt) or a text.
template <class Change>
AlignedText map_characters(AlignedText text, const Change& change) {
  AlignedTextBuilder builder(text);
  for (int64_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text.text(), at);
    const ByteSpan span{at, at + step.length};
    if (const std::optional<std::string> by = change(step.code_point)) {
      builder.put(*by, span);
    } else {
      builder.keep(span);
    }
    at = span.end;
  }
  return std::move(builder).finish();
}

using Change = std::optional<std::string>;

Change drop_if(bool drop) { return drop ? Change("") : std::nullopt; }

Change clean_nmt(char32_t c) {
  if ((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
      c == 0x9F) {
    return "";
  }
  const bool space = c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                     (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                     c == 0xFEFF || c == 0xFFFD;
  return space ? Change(" ") : std::nullopt;
}

Change clean_bert(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return " ";
  if (c == 0 || c == 0xFFFD || is_other(c)) return "";
  return is_white_space(c) ? Change(" ") : std::nullopt;
}

// The blocks that BERT's tokenizer sets apart.
Change space_chinese(char32_t c) {
  constexpr std::pair<char32_t, char32_t> kBlocks[] = {
      {0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
      {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  for (const auto& [first, last] : kBlocks) {
    if (c >= first && c <= last) return " " + utf8_encode(c) + " ";
  }
  return std::nullopt;
}

Change to_lower(char32_t c) {
  std::string lower = lowercase(c);
  return lower == utf8_encode(c) ? std::nullopt : Change(std::move(lower));
}

AlignedText strip_space(const AlignedText& text, bool left, bool right) {
  int64_t begin = 0;
  int64_t end = 0;  // after the last character that is not white space
  bool started = !left;
  for (int64_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text.text(), at);
    const bool space = is_white_space(step.code_point);
    if (!space && !started) begin = at;
    started = started || !space;
    at += step.length;
    if (!space || !right) end = at;
  }
  return started ? text.slice({begin, std::max(begin, end)}) : AlignedText("", 0);
}

}  // namespace

Pattern pattern_from_json(const JsonField& config) {
  if (const auto text = config.find("String")) return Pattern::literal(text->string());
  const auto regex = config.find("Regex");
  if (!regex) config.fail("expected a \"String\" or a \"Regex\"");
  try {
    return Pattern::regex(regex->string());
  } catch (const Error& error) {
    regex->fail(error.message());
  }
}

AlignedText replace_all(const AlignedText& text, const std::vector<ByteSpan>& matches,
                        std::string_view content) {
  AlignedTextBuilder builder(text);
  int64_t from = 0;
  for (const ByteSpan match : matches) {
    builder.keep({from, match.begin});
    builder.put(content, match);
    from = match.end;
  }
  builder.keep({from, text.size()});
  return std::move(builder).finish();
}

Normalizer Normalizer::from_json(const std::optional<JsonField>& config) {
  Normalizer normalizer;
  if (config) normalizer.add(*config);
  return normalizer;
}

void Normalizer::add(const JsonField& config) {
  const std::string& type = config.at("type").string();
  if (type == "Sequence") {
    for (const JsonField& item : config.at("normalizers").items()) add(item);
  } else if (type == "Prepend") {
    steps_.push_back([prefix = config.at("prepend").string()](AlignedText text) {
      return prepend(text, prefix);
    });
  } else if (type == "Replace") {
    auto pattern = std::make_shared<const Pattern>(pattern_from_json(config.at("pattern")));
    steps_.push_back([pattern, content = config.at("content").string()](AlignedText text) {
      const std::vector<ByteSpan> matches = pattern->find_all(text.text());
      return matches.empty() ? std::move(text) : replace_all(text, matches, content);
    });
  } else if (type == "Strip") {
    steps_.push_back([left = config.boolean_or("strip_left", true),
                      right = config.boolean_or("strip_right", true)](AlignedText text) {
      return strip_space(text, left, right);
    });
  } else if (type == "Precompiled") {
    auto map =
        std::make_shared<const Charsmap>(Charsmap::from_json(config.at("precompiled_charsmap")));
    steps_.push_back([map](AlignedText text) { return map->apply(text); });
  } else if (type == "BertNormalizer" || type == "Bert") {
    add_bert(config);
  } else if (!add_simple(type)) {
    config.fail("normalizer type " + in_quotes(type) +
                " is not supported (known: Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, "
                "Lowercase, Strip, StripAccents, Nmt, Precompiled, BertNormalizer, ByteLevel)");
  }
}

bool Normalizer::add_simple(const std::string& type) {
  const auto add_map = [&](Change (*change)(char32_t)) {
    steps_.push_back(
        [change](AlignedText text) { return map_characters(std::move(text), change); });
    return true;
  };
  static constexpr std::pair<std::string_view, NormalForm> kForms[] = {{"NFC", NormalForm::kNfc},
                                                                       {"NFD", NormalForm::kNfd},
                                                                       {"NFKC", NormalForm::kNfkc},
                                                                       {"NFKD", NormalForm::kNfkd}};
  for (const auto& [name, form] : kForms) {
    if (type != name) continue;
    steps_.push_back(
        [form = form](AlignedText text) { return normalize_unicode(std::move(text), form); });
    return true;
  }
  if (type == "Lowercase") return add_map(to_lower);
  if (type == "StripAccents") return add_map([](char32_t c) { return drop_if(is_mark(c)); });
  if (type == "Nmt") return add_map(clean_nmt);
  if (type == "ByteLevel") {
    steps_.push_back([](AlignedText text) { return to_byte_level(text); });
    return true;
  }
  return false;
}

void Normalizer::add_bert(const JsonField& config) {
  const auto add_map = [&](Change (*change)(char32_t)) {
    steps_.push_back(
        [change](AlignedText text) { return map_characters(std::move(text), change); });
  };
  const bool lower = config.boolean_or("lowercase", true);
  if (config.boolean_or("clean_text", true)) add_map(clean_bert);
  if (config.boolean_or("handle_chinese_chars", true)) add_map(space_chinese);
  if (config.boolean_or("strip_accents", lower)) {
    add_simple("NFD");
    add_map([](char32_t c) { return drop_if(is_mark_nonspacing(c)); });
  }
  if (lower) add_map(to_lower);
}

AlignedText Normalizer::apply(AlignedText text) const {
  for (const auto& step : steps_) text = step(std::move(text));
  return text;
}

}  // namespace athanor

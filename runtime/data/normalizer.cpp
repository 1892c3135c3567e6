// Normalizers, each a function from text to text.
#include "runtime/data/normalizer.h"

#include <memory>

#include "core/error.h"
#include "runtime/data/nfc.h"
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

// Text that is already composed passes; composing it is not built yet.
AlignedText require_nfc(AlignedText text) {
  if (const std::optional<int64_t> at = first_maybe_not_nfc(text.text())) {
    const int64_t original = text.origin({*at, *at + 1}).begin;
    throw Error(ErrorKind::kBadInput,
                "normalizer NFC: the character at byte " + std::to_string(original) +
                    " needs Unicode composition, which is not supported yet; store the text in "
                    "normal form C, near " +
                    in_quotes(std::string_view(text.text()).substr(*at), 12));
  }
  return text;
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
  } else if (type == "NFC") {
    steps_.push_back(require_nfc);
  } else {
    config.fail("normalizer type " + in_quotes(type) +
                " is not supported (known: Sequence, Prepend, Replace, NFC)");
  }
}

AlignedText Normalizer::apply(AlignedText text) const {
  for (const auto& step : steps_) text = step(std::move(text));
  return text;
}

}  // namespace athanor

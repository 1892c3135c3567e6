// Regular expressions of tokenizer.json (PCRE2 with UTF-8 and Unicode properties, bounded work),
// and Pattern: a regular expression or a literal, as Split and Replace take them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/data/text_span.h"

namespace athanor {

// Safe for use by many threads at once. Subjects must be valid UTF-8.
class Regex {
 public:
  explicit Regex(const std::string& pattern);  // throws kBadInput with the compiler's message
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  // Non-empty matches from left to right; kBadInput when the work limit is reached.
  std::vector<ByteSpan> find_all(std::string_view text) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Name and version of the library, which decide what \p{…} means.
std::string regex_version();

class Pattern {
 public:
  static Pattern literal(std::string text);
  static Pattern regex(const std::string& pattern);

  std::vector<ByteSpan> find_all(std::string_view text) const;

 private:
  explicit Pattern(std::variant<std::string, Regex> pattern) : pattern_(std::move(pattern)) {}

  std::variant<std::string, Regex> pattern_;
};

}  // namespace athanor

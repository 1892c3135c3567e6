// Template source to tokens, with the whitespace rules of trim_blocks and lstrip_blocks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace athanor::jinja {

enum class TokenKind {
  kData,
  kPrintBegin,
  kPrintEnd,
  kTagBegin,
  kTagEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;  // data, name, operator, digits; the value of a string
  int line = 1;
};

// Throws kBadInput "name:line: …".
std::vector<Token> tokenize(std::string_view source, const std::string& name);

[[noreturn]] void fail_at_line(const std::string& name, int line, const std::string& message);

}  // namespace athanor::jinja

// Text and delimiters by search, then the words inside a tag one by one.
#include "runtime/data/jinja/lexer.h"

#include <algorithm>

#include "core/error.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {

void fail_at_line(const std::string& name, int line, const std::string& message) {
  // Text of the template does not break the line of the message.
  constexpr char kHex[] = "0123456789abcdef";
  std::string shown;
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      shown += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      shown += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      shown += c;
    }
  }
  throw Error(ErrorKind::kBadInput, name + ":" + std::to_string(line) + ": " + shown);
}

namespace {

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool starts_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// \r\n and \r become \n, and one newline at the end goes away.
std::string normalise(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
    } else {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& name)
      : source_(normalise(source)), name_(name) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t open = find_open();
      if (open == std::string::npos) {
        emit_data(source_.substr(at_));
        advance(source_.size());
        break;
      }
      const char kind = source_[open + 1];
      const size_t sign_at = open + 2;
      const char sign =
          sign_at < source_.size() && (source_[sign_at] == '-' || source_[sign_at] == '+')
              ? source_[sign_at]
              : ' ';
      emit_data(stripped(source_.substr(at_, open - at_), sign, kind != '{'));
      advance(sign == ' ' ? sign_at : sign_at + 1);
      if (kind == '#') {
        comment();
      } else if (kind == '{') {
        inside("}}", TokenKind::kPrintBegin, TokenKind::kPrintEnd);
      } else if (!raw(sign)) {
        inside("%}", TokenKind::kTagBegin, TokenKind::kTagEnd);
      }
    }
    tokens_.push_back({TokenKind::kEnd, "", line_});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const { fail_at_line(name_, line_, message); }

  size_t find_open() const {
    for (size_t i = source_.find('{', at_); i != std::string::npos && i + 1 < source_.size();
         i = source_.find('{', i + 1)) {
      const char next = source_[i + 1];
      if (next == '{' || next == '%' || next == '#') return i;
    }
    return std::string::npos;
  }

  void advance(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<int64_t>(at_),
                                         source_.begin() + static_cast<int64_t>(to), '\n'));
    at_ = to;
  }

  void emit_data(std::string text) {
    if (!text.empty()) tokens_.push_back({TokenKind::kData, std::move(text), line_});
  }

  // What a tag leaves of the text before it.
  std::string stripped(std::string text, char sign, bool is_block) const {
    if (sign == '-') {
      while (!text.empty() && is_blank(text.back())) text.pop_back();
    } else if (sign != '+' && is_block) {
      const size_t newline = text.rfind('\n');
      const size_t begin = newline == std::string::npos ? 0 : newline + 1;
      const bool starts_line = begin > 0 || at_ == 0 || source_[at_ - 1] == '\n';
      if (starts_line &&
          std::all_of(text.begin() + static_cast<int64_t>(begin), text.end(), is_blank)) {
        text.resize(begin);
      }
    }
    return text;
  }

  bool looking_at(std::string_view word) const {
    return std::string_view(source_).substr(at_).starts_with(word);
  }
  void skip_blanks() {
    size_t end = at_;
    while (end < source_.size() && is_blank(source_[end])) ++end;
    advance(end);
  }

  // Steps over the end of a block or comment when it is here; trim_blocks eats one newline.
  bool close(std::string_view end, bool trim) {
    if (looking_at("-" + std::string(end))) {
      advance(at_ + 1 + end.size());
      skip_blanks();
      return true;
    }
    if (trim && looking_at("+" + std::string(end))) {
      advance(at_ + 1 + end.size());
      return true;
    }
    if (!looking_at(end)) return false;
    advance(at_ + end.size());
    if (trim && looking_at("\n")) advance(at_ + 1);
    return true;
  }

  void comment() {
    for (; at_ < source_.size(); advance(at_ + 1)) {
      if (close("#}", true)) return;
    }
    fail("missing end of comment tag");
  }

  // {% raw %} … {% endraw %}; false and nothing moved when this is another tag.
  bool raw(char) {
    const size_t start = at_;
    const int line = line_;
    skip_blanks();
    bool is_raw = looking_at("raw");
    if (is_raw) {
      advance(at_ + 3);
      skip_blanks();
      if (looking_at("-%}")) {
        advance(at_ + 3);
        skip_blanks();
      } else if (looking_at("%}")) {
        advance(at_ + 2);
      } else {
        is_raw = false;
      }
    }
    if (!is_raw) {
      at_ = start;
      line_ = line;
      return false;
    }
    const size_t text = at_;
    for (size_t open = source_.find("{%", at_); open != std::string::npos;
         open = source_.find("{%", open + 1)) {
      at_ = open + 2;
      char sign = ' ';
      if (looking_at("-") || looking_at("+")) sign = source_[at_++];
      while (at_ < source_.size() && is_blank(source_[at_])) ++at_;
      if (!looking_at("endraw")) continue;
      at_ += 6;
      while (at_ < source_.size() && is_blank(source_[at_])) ++at_;
      if (!looking_at("%}") && !looking_at("-%}") && !looking_at("+%}")) continue;
      const size_t end = at_;
      at_ = text;
      emit_data(stripped(source_.substr(text, open - text), sign, true));
      advance(end);
      return close("%}", true);
    }
    fail("missing end of raw directive");
  }

  void inside(std::string_view end, TokenKind begin_kind, TokenKind end_kind) {
    tokens_.push_back({begin_kind, "", line_});
    std::string open;  // brackets that wait for their partner
    for (;;) {
      skip_blanks();
      if (at_ >= source_.size()) fail("the template ends inside a tag");
      const int line = line_;
      if (open.empty() && close(end, end == "%}")) {
        tokens_.push_back({end_kind, "", line});
        return;
      }
      word(open);
    }
  }

  void word(std::string& open) {
    const char c = source_[at_];
    if (starts_name(c)) {
      size_t end = at_;
      while (end < source_.size() && (starts_name(source_[end]) || is_digit(source_[end]))) ++end;
      push(TokenKind::kName, end);
    } else if (is_digit(c)) {
      number();
    } else if (c == '"' || c == '\'') {
      string(c);
    } else {
      symbol(open);
    }
  }

  void push(TokenKind kind, size_t end) {
    tokens_.push_back({kind, source_.substr(at_, end - at_), line_});
    advance(end);
  }

  void number() {
    size_t end = at_;
    const auto digits = [&] {
      while (end < source_.size() && (is_digit(source_[end]) || source_[end] == '_')) ++end;
    };
    const auto digit_at = [&](size_t i) { return i < source_.size() && is_digit(source_[i]); };
    digits();
    if (end - at_ == 1 && source_[at_] == '0' && end < source_.size() &&
        starts_name(source_[end]) && source_[end] != 'e') {
      fail("numbers with a base prefix are not supported");
    }
    bool is_float = false;
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    if (!after_dot && end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
      is_float = true;
      ++end;
      digits();
    }
    if (!after_dot && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const bool sign =
          end + 1 < source_.size() && (source_[end + 1] == '-' || source_[end + 1] == '+');
      if (digit_at(end + (sign ? 2 : 1))) {
        is_float = true;
        end += sign ? 2 : 1;
        digits();
      }
    }
    push(is_float ? TokenKind::kFloat : TokenKind::kInteger, end);
    std::string& text = tokens_.back().text;
    std::erase(text, '_');
    if (!is_float && text.size() > 1 && text[0] == '0') fail("integer " + text + " begins with 0");
  }

  void string(char quote) {
    std::string value;
    size_t i = at_ + 1;
    for (;; ++i) {
      if (i >= source_.size()) fail("a string without its closing quote");
      if (source_[i] == quote) break;
      if (source_[i] != '\\') {
        value.push_back(source_[i]);
        continue;
      }
      if (++i >= source_.size()) fail("a string without its closing quote");
      escape(i, value);
    }
    tokens_.push_back({TokenKind::kString, std::move(value), line_});
    advance(i + 1);
  }

  // source_[i] follows the backslash; leaves i at the last character of the escape.
  void escape(size_t& i, std::string& value) const {
    static constexpr std::string_view kFrom = "\\'\"abfnrtv";
    static constexpr std::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
    const char c = source_[i];
    if (const size_t known = kFrom.find(c); known != std::string_view::npos) {
      value.push_back(kTo[known]);
    } else if (c == '\n') {
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const size_t length = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      const std::string hex = source_.substr(i + 1, length);
      if (hex.size() != length ||
          hex.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
        fail("a broken escape in a string");
      }
      const unsigned long code = std::stoul(hex, nullptr, 16);
      if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) fail("an escape is no character");
      value += utf8_encode(static_cast<char32_t>(code));
      i += length;
    } else if (is_digit(c) || c == 'N') {
      fail(std::string("the escape \\") + c + " is not supported");
    } else {
      value.push_back('\\');
      value.push_back(c);
    }
  }

  void symbol(std::string& open) {
    static constexpr std::string_view kTwo[] = {"//", "**", "==", "!=", ">=", "<="};
    for (const std::string_view two : kTwo) {
      if (looking_at(two)) return push(TokenKind::kOperator, at_ + 2);
    }
    const char c = source_[at_];
    if (std::string_view("+-/*%~[](){}<>=.:|,;").find(c) == std::string_view::npos) {
      fail("unexpected character " + in_quotes(source_.substr(at_, 1)));
    }
    if (c == '(') open.push_back(')');
    if (c == '[') open.push_back(']');
    if (c == '{') open.push_back('}');
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) fail(std::string("unexpected '") + c + "'");
      open.pop_back();
    }
    push(TokenKind::kOperator, at_ + 1);
  }

  std::string source_;
  const std::string& name_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, const std::string& name) {
  return Lexer(source, name).run();
}

}  // namespace athanor::jinja

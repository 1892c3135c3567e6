// Tokens to expressions, by recursive descent with a bound on nesting. The statements are in
// parser.cpp.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/jinja/ast.h"
#include "runtime/data/jinja/lexer.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {

class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, const std::string& name)
      : tokens_(std::move(tokens)), name_(name) {}

 protected:
  static constexpr int kMaxNesting = 100;
  static constexpr int kMaxExprDepth = 400;

  class Nested {
   public:
    explicit Nested(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.nesting_ > kMaxNesting) parser_.fail("nested too deeply");
    }
    ~Nested() { --parser_.nesting_; }

   private:
    ExpressionParser& parser_;
  };

  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() {
    Token token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  [[noreturn]] void fail(const std::string& message) const {
    fail_at_line(name_, now().line, message);
  }

  bool is_op(std::string_view text) const {
    return now().kind == TokenKind::kOperator && now().text == text;
  }
  bool is_name(std::string_view text) const {
    return now().kind == TokenKind::kName && now().text == text;
  }
  bool skip_op(std::string_view text) { return is_op(text) && (take(), true); }
  bool skip_name(std::string_view text) { return is_name(text) && (take(), true); }
  void expect_op(std::string_view text) {
    if (!skip_op(text))
      fail("expected '" + std::string(text) + "', found " + in_quotes(now().text));
  }
  void expect(TokenKind kind, const char* what) {
    if (now().kind != kind)
      fail(std::string("expected ") + what + ", found " + in_quotes(now().text));
    take();
  }
  std::string expect_name() {
    if (now().kind != TokenKind::kName) fail("expected a name, found " + in_quotes(now().text));
    return take().text;
  }

  ExprPtr make(ExprKind kind, int line) const {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->line = line;
    return expr;
  }
  ExprPtr done(ExprPtr expr) const {
    const auto look = [&](const ExprPtr& child) {
      if (child) expr->depth = std::max(expr->depth, child->depth + 1);
    };
    for (const ExprPtr& child : expr->children) look(child);
    for (const auto& [key, child] : expr->named) look(child);
    look(expr->star);
    look(expr->star_star);
    if (expr->depth > kMaxExprDepth) fail("an expression with too many levels");
    return expr;
  }
  ExprPtr constant(Value value, int line) const {
    ExprPtr expr = make(ExprKind::kConstant, line);
    expr->constant = std::move(value);
    return expr;
  }
  ExprPtr binary(ExprKind kind, std::string name, ExprPtr left, ExprPtr right) const {
    ExprPtr expr = make(kind, left->line);
    expr->name = std::move(name);
    expr->children.push_back(std::move(left));
    expr->children.push_back(std::move(right));
    return done(std::move(expr));
  }

  ExprPtr tuple(bool with_choice = true, std::string_view end = "", bool in_parentheses = false);
  ExprPtr expression();
  ExprPtr disjunction();
  ExprPtr conjunction();
  ExprPtr wrap(ExprKind kind, int line, ExprPtr operand) const;
  ExprPtr negation();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concat();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filter);
  ExprPtr primary();
  ExprPtr name(const Token& token);
  ExprPtr collection(const Token& token);
  ExprPtr postfix(ExprPtr value);
  ExprPtr subscript();
  void arguments(Expr& expr);
  ExprPtr call(ExprPtr callee);
  ExprPtr filters(ExprPtr value, bool first_without_pipe);
  ExprPtr test(ExprPtr value);

  std::vector<Token> tokens_;
  const std::string& name_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;
  bool saw_caller_ = false;
  bool saw_varargs_ = false;
  bool saw_kwargs_ = false;
};

}  // namespace athanor::jinja

// Tokens to the tree, by recursive descent with a bound on nesting. Tags and syntax that this
// interpreter lacks are refused here, by name and line.
#include <algorithm>
#include <charconv>
#include <string_view>

#include "runtime/data/jinja/ast.h"
#include "runtime/data/jinja/lexer.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

constexpr int kMaxNesting = 100;
constexpr int kMaxExprDepth = 400;

class Parser {
 public:
  Parser(std::vector<Token> tokens, const std::string& name)
      : tokens_(std::move(tokens)), name_(name) {}

  Body run() {
    Body body = statements({});
    if (now().kind != TokenKind::kEnd) fail("unexpected tag " + in_quotes(now().text));
    return body;
  }

 private:
  class Nested {
   public:
    explicit Nested(Parser& parser) : parser_(parser) {
      if (++parser_.nesting_ > kMaxNesting) parser_.fail("nested too deeply");
    }
    ~Nested() { --parser_.nesting_; }

   private:
    Parser& parser_;
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

  // ---- statements

  Body statements(const std::vector<std::string_view>& ends) {
    const Nested nested(*this);
    Body body;
    while (now().kind != TokenKind::kEnd) {
      Stmt stmt;
      stmt.line = now().line;
      if (now().kind == TokenKind::kData) {
        stmt.text = take().text;
      } else if (now().kind == TokenKind::kPrintBegin) {
        take();
        stmt.kind = StmtKind::kPrint;
        stmt.exprs.push_back(tuple());
        expect(TokenKind::kPrintEnd, "the end of {{ }}");
      } else {
        if (std::any_of(ends.begin(), ends.end(), [&](std::string_view end) {
              return ahead().kind == TokenKind::kName && ahead().text == end;
            })) {
          return body;
        }
        take();
        stmt = statement();
        expect(TokenKind::kTagEnd, "the end of the tag");
      }
      body.push_back(std::move(stmt));
    }
    if (!ends.empty())
      fail("the template ends before " + in_quotes("{% " + std::string(ends.back()) + " %}"));
    return body;
  }

  // The body of a tag and the name that ends it; the parser is then behind that name.
  std::string block(Body& body, const std::vector<std::string_view>& ends) {
    skip_op(":");
    expect(TokenKind::kTagEnd, "the end of the tag");
    body = statements(ends);
    take();
    return expect_name();
  }

  Stmt statement() {
    Stmt stmt;
    stmt.line = now().line;
    const std::string tag = expect_name();
    if (tag == "if") {
      if_tag(stmt);
    } else if (tag == "for") {
      for_tag(stmt);
    } else if (tag == "set") {
      set_tag(stmt);
    } else if (tag == "macro") {
      stmt.kind = StmtKind::kMacro;
      stmt.text = expect_name();
      signature(stmt);
      macro_body(stmt, "endmacro");
    } else if (tag == "call") {
      stmt.kind = StmtKind::kCall;
      stmt.exprs.push_back(nullptr);
      if (is_op("(")) signature(stmt);
      stmt.exprs[0] = expression();
      if (stmt.exprs[0]->kind != ExprKind::kCall) fail("expected a call");
      macro_body(stmt, "endcall");
    } else if (tag == "filter") {
      stmt.kind = StmtKind::kFilter;
      stmt.exprs.push_back(filters(nullptr, true));
      block(stmt.body, {"endfilter"});
    } else if (tag == "with") {
      with_tag(stmt);
    } else if (tag == "generation") {
      stmt.kind = StmtKind::kGeneration;
      const int loops = std::exchange(loops_, 0);
      block(stmt.body, {"endgeneration"});
      loops_ = loops;
    } else if (tag == "break" || tag == "continue") {
      if (loops_ == 0) fail(in_quotes(tag) + " outside of a loop");
      stmt.kind = tag == "break" ? StmtKind::kBreak : StmtKind::kContinue;
    } else {
      fail("the tag " + in_quotes(tag) + " is not supported");
    }
    return stmt;
  }

  void if_tag(Stmt& stmt) {
    const Nested nested(*this);
    stmt.kind = StmtKind::kIf;
    stmt.exprs.push_back(tuple(false));
    const std::string end = block(stmt.body, {"elif", "else", "endif"});
    if (end == "elif") {
      Stmt next;
      next.line = now().line;
      if_tag(next);
      stmt.otherwise.push_back(std::move(next));
    } else if (end == "else") {
      block(stmt.otherwise, {"endif"});
    }
  }

  void for_tag(Stmt& stmt) {
    stmt.kind = StmtKind::kFor;
    stmt.exprs.push_back(target("in", false));
    if (!skip_name("in")) fail("expected 'in'");
    stmt.exprs.push_back(tuple(false, "recursive"));
    stmt.exprs.push_back(skip_name("if") ? expression() : nullptr);
    stmt.recursive = skip_name("recursive");
    ++loops_;
    const std::string end = block(stmt.body, {"else", "endfor"});
    --loops_;
    if (end == "else") block(stmt.otherwise, {"endfor"});
  }

  void set_tag(Stmt& stmt) {
    stmt.exprs.push_back(target("", true));
    if (skip_op("=")) {
      stmt.kind = StmtKind::kSet;
      stmt.exprs.push_back(tuple());
      return;
    }
    stmt.kind = StmtKind::kSetBlock;
    stmt.exprs.push_back(is_op("|") ? filters(nullptr, false) : nullptr);
    const int loops = std::exchange(loops_, 0);
    block(stmt.body, {"endset"});
    loops_ = loops;
  }

  void with_tag(Stmt& stmt) {
    stmt.kind = StmtKind::kWith;
    while (now().kind != TokenKind::kTagEnd) {
      if (!stmt.exprs.empty()) expect_op(",");
      stmt.exprs.push_back(target("", false));
      expect_op("=");
      stmt.exprs.push_back(expression());
    }
    block(stmt.body, {"endwith"});
  }

  void signature(Stmt& stmt) {
    expect_op("(");
    const size_t before = stmt.exprs.size();
    while (!is_op(")")) {
      if (!stmt.parameters.empty()) expect_op(",");
      stmt.parameters.push_back(expect_name());
      const std::string& name = stmt.parameters.back();
      if (name == "caller" || name == "varargs" || name == "kwargs") {
        fail("the parameter name " + in_quotes(name) + " is not supported");
      }
      if (skip_op("=")) {
        stmt.exprs.push_back(expression());
      } else if (stmt.exprs.size() > before) {
        fail("a parameter without default follows one with a default");
      }
    }
    expect_op(")");
  }

  void macro_body(Stmt& stmt, const char* end) {
    const int loops = std::exchange(loops_, 0);
    const bool caller = std::exchange(saw_caller_, false);
    block(stmt.body, {end});
    stmt.uses_caller = saw_caller_;
    saw_caller_ = caller || saw_caller_;
    loops_ = loops;
  }

  ExprPtr target(std::string_view end, bool fields) {
    ExprPtr first = target_item(fields);
    if (!is_op(",")) return first;
    ExprPtr all = make(ExprKind::kTuple, first->line);
    all->children.push_back(std::move(first));
    while (skip_op(",")) {
      if (is_op("=") || (!end.empty() && is_name(end)) || now().kind == TokenKind::kTagEnd) break;
      all->children.push_back(target_item(fields));
    }
    return done(std::move(all));
  }
  ExprPtr target_item(bool fields) {
    const Nested nested(*this);
    if (skip_op("(")) {
      ExprPtr inner = target("", fields);
      expect_op(")");
      return inner;
    }
    ExprPtr item = make(ExprKind::kName, now().line);
    item->name = expect_name();
    static constexpr std::string_view kTaken[] = {"true", "false", "none", "True", "False", "None"};
    if (std::find(std::begin(kTaken), std::end(kTaken), item->name) != std::end(kTaken)) {
      fail("cannot assign to " + item->name);
    }
    if (loops_ > 0 && item->name == "loop") fail("cannot assign to loop inside a loop");
    if (fields && skip_op(".")) {
      item->kind = ExprKind::kNamespaceField;
      item->names.push_back(expect_name());
    }
    return item;
  }

  // ---- expressions

  ExprPtr tuple(bool with_choice = true, std::string_view end = "", bool in_parentheses = false) {
    const int line = now().line;
    const auto at_end = [&] {
      return now().kind == TokenKind::kPrintEnd || now().kind == TokenKind::kTagEnd || is_op(")") ||
             (!end.empty() && is_name(end));
    };
    ExprPtr all = make(ExprKind::kTuple, line);
    bool is_tuple = false;
    while (!at_end()) {
      all->children.push_back(with_choice ? expression() : disjunction());
      if (!is_op(",")) break;
      take();
      is_tuple = true;
    }
    if (!is_tuple && all->children.size() == 1) return std::move(all->children[0]);
    if (!is_tuple && !in_parentheses)
      fail("expected an expression, found " + in_quotes(now().text));
    return done(std::move(all));
  }

  ExprPtr expression() {
    const Nested nested(*this);
    ExprPtr value = disjunction();
    while (skip_name("if")) {
      ExprPtr choice = make(ExprKind::kChoice, value->line);
      choice->children.push_back(disjunction());
      choice->children.push_back(std::move(value));
      choice->children.push_back(skip_name("else") ? expression() : nullptr);
      value = done(std::move(choice));
    }
    return value;
  }
  ExprPtr disjunction() {
    ExprPtr left = conjunction();
    while (skip_name("or")) left = binary(ExprKind::kOr, "or", std::move(left), conjunction());
    return left;
  }
  ExprPtr conjunction() {
    ExprPtr left = negation();
    while (skip_name("and")) left = binary(ExprKind::kAnd, "and", std::move(left), negation());
    return left;
  }
  ExprPtr wrap(ExprKind kind, int line, ExprPtr operand) const {
    ExprPtr expr = make(kind, line);
    expr->children.push_back(std::move(operand));
    return done(std::move(expr));
  }
  ExprPtr negation() {
    const Nested nested(*this);
    const int line = now().line;
    if (skip_name("not")) return wrap(ExprKind::kNot, line, negation());
    return comparison();
  }
  ExprPtr comparison() {
    static constexpr std::string_view kOperators[] = {"==", "!=", "<", "<=", ">", ">="};
    ExprPtr compare = make(ExprKind::kCompare, now().line);
    compare->children.push_back(sum());
    for (;;) {
      std::string op;
      if (now().kind == TokenKind::kOperator &&
          std::find(std::begin(kOperators), std::end(kOperators), now().text) !=
              std::end(kOperators)) {
        op = take().text;
      } else if (skip_name("in")) {
        op = "in";
      } else if (is_name("not") && ahead().kind == TokenKind::kName && ahead().text == "in") {
        take();
        take();
        op = "not in";
      } else {
        break;
      }
      compare->names.push_back(std::move(op));
      compare->children.push_back(sum());
    }
    if (compare->names.empty()) return std::move(compare->children[0]);
    return done(std::move(compare));
  }
  ExprPtr sum() {
    ExprPtr left = concat();
    while (is_op("+") || is_op("-")) {
      const std::string op = take().text;
      left = binary(ExprKind::kBinary, op, std::move(left), concat());
    }
    return left;
  }
  ExprPtr concat() {
    ExprPtr first = product();
    if (!is_op("~")) return first;
    ExprPtr all = make(ExprKind::kConcat, first->line);
    all->children.push_back(std::move(first));
    while (skip_op("~")) all->children.push_back(product());
    return done(std::move(all));
  }
  ExprPtr product() {
    ExprPtr left = power();
    while (is_op("*") || is_op("/") || is_op("//") || is_op("%")) {
      const std::string op = take().text;
      left = binary(ExprKind::kBinary, op, std::move(left), power());
    }
    return left;
  }
  ExprPtr power() {
    ExprPtr left = unary(true);
    while (skip_op("**")) left = binary(ExprKind::kBinary, "**", std::move(left), unary(true));
    return left;
  }
  ExprPtr unary(bool with_filter) {
    const Nested nested(*this);
    const int line = now().line;
    ExprPtr value;
    if (skip_op("-")) {
      value = wrap(ExprKind::kNegative, line, unary(false));
    } else if (skip_op("+")) {
      value = wrap(ExprKind::kPositive, line, unary(false));
    } else {
      value = primary();
    }
    value = postfix(std::move(value));
    while (with_filter) {
      if (is_op("|")) {
        value = filters(std::move(value), false);
      } else if (is_name("is")) {
        value = test(std::move(value));
      } else if (is_op("(")) {
        value = call(std::move(value));
      } else {
        break;
      }
    }
    return value;
  }
  ExprPtr primary() {
    const Token token = take();
    if (token.kind == TokenKind::kName) return name(token);
    if (token.kind == TokenKind::kString) {
      std::string text = token.text;
      while (now().kind == TokenKind::kString) text += take().text;
      return constant(Value(std::move(text)), token.line);
    }
    if (token.kind == TokenKind::kInteger) {
      int64_t number = 0;
      const char* end = token.text.data() + token.text.size();
      if (std::from_chars(token.text.data(), end, number).ec != std::errc()) {
        fail("integer " + token.text + " has more than 64 bits");
      }
      return constant(Value(number), token.line);
    }
    if (token.kind == TokenKind::kFloat) {
      double number = 0;
      std::from_chars(token.text.data(), token.text.data() + token.text.size(), number);
      return constant(Value(number), token.line);
    }
    if (token.kind == TokenKind::kOperator && token.text == "(") {
      ExprPtr inner = tuple(true, "", true);
      expect_op(")");
      return inner;
    }
    if (token.kind == TokenKind::kOperator && (token.text == "[" || token.text == "{")) {
      return collection(token);
    }
    fail_at_line(name_, token.line, "unexpected " + in_quotes(token.text));
  }
  ExprPtr name(const Token& token) {
    const std::string& text = token.text;
    if (text == "true" || text == "True") return constant(Value(true), token.line);
    if (text == "false" || text == "False") return constant(Value(false), token.line);
    if (text == "none" || text == "None") return constant(Value::none(), token.line);
    if (text == "caller") saw_caller_ = true;
    if (text == "varargs" || text == "kwargs") fail(in_quotes(text) + " is not supported");
    ExprPtr expr = make(ExprKind::kName, token.line);
    expr->name = text;
    return expr;
  }
  ExprPtr collection(const Token& token) {
    const bool is_dict = token.text == "{";
    const char* end = is_dict ? "}" : "]";
    ExprPtr all = make(is_dict ? ExprKind::kDict : ExprKind::kList, token.line);
    while (!is_op(end)) {
      if (!all->children.empty()) {
        expect_op(",");
        if (is_op(end)) break;
      }
      all->children.push_back(expression());
      if (is_dict) {
        expect_op(":");
        all->children.push_back(expression());
      }
    }
    expect_op(end);
    return done(std::move(all));
  }
  ExprPtr postfix(ExprPtr value) {
    for (;;) {
      const int line = now().line;
      if (is_op("(")) {
        value = call(std::move(value));
      } else if (skip_op(".")) {
        if (now().kind == TokenKind::kInteger) {
          value = binary(ExprKind::kItem, "", std::move(value), primary());
        } else {
          ExprPtr attribute = make(ExprKind::kAttribute, line);
          attribute->name = expect_name();
          attribute->children.push_back(std::move(value));
          value = done(std::move(attribute));
        }
      } else if (skip_op("[")) {
        value = binary(ExprKind::kItem, "", std::move(value), subscript());
        expect_op("]");
      } else {
        return value;
      }
    }
  }
  ExprPtr subscript() {
    ExprPtr slice = make(ExprKind::kSlice, now().line);
    slice->children.resize(3);
    if (!is_op(":")) {
      ExprPtr first = expression();
      if (is_op(",")) fail("a subscript with several values is not supported");
      if (!is_op(":")) return first;
      slice->children[0] = std::move(first);
    }
    for (size_t i = 1; i < 3 && skip_op(":"); ++i) {
      if (!is_op(":") && !is_op("]")) slice->children[i] = expression();
    }
    return done(std::move(slice));
  }
  void arguments(Expr& expr) {
    expect_op("(");
    bool first = true;
    while (!is_op(")")) {
      if (!first) {
        expect_op(",");
        if (is_op(")")) break;
      }
      first = false;
      if (is_op("*") || is_op("**")) fail("unpacking arguments (* and **) is not supported");
      if (now().kind == TokenKind::kName && ahead().kind == TokenKind::kOperator &&
          ahead().text == "=") {
        std::string key = take().text;
        take();
        for (const auto& [other, value] : expr.named) {
          if (other == key) fail("the argument " + in_quotes(key) + " is given twice");
        }
        expr.named.emplace_back(std::move(key), expression());
      } else {
        if (!expr.named.empty()) fail("a positional argument follows a named one");
        expr.children.push_back(expression());
      }
    }
    expect_op(")");
  }
  ExprPtr call(ExprPtr callee) {
    ExprPtr expr = make(ExprKind::kCall, now().line);
    expr->children.push_back(std::move(callee));
    arguments(*expr);
    return done(std::move(expr));
  }
  ExprPtr filters(ExprPtr value, bool first_without_pipe) {
    while (first_without_pipe || skip_op("|")) {
      first_without_pipe = false;
      ExprPtr filter = make(ExprKind::kFilter, now().line);
      filter->name = expect_name();
      filter->children.push_back(std::move(value));
      if (is_op("(")) arguments(*filter);
      value = done(std::move(filter));
    }
    return value;
  }
  ExprPtr test(ExprPtr value) {
    const int line = take().line;
    const bool negated = skip_name("not");
    ExprPtr expr = make(ExprKind::kTest, line);
    expr->name = expect_name();
    expr->children.push_back(std::move(value));
    const bool operand =
        now().kind == TokenKind::kString || now().kind == TokenKind::kInteger ||
        now().kind == TokenKind::kFloat || is_op("[") || is_op("{") ||
        (now().kind == TokenKind::kName && !is_name("else") && !is_name("or") && !is_name("and"));
    if (is_op("(")) {
      arguments(*expr);
    } else if (operand) {
      if (is_name("is")) fail("tests cannot be chained with is");
      // "x is string if y": a name here would be taken as an argument, as Jinja does.
      expr->children.push_back(postfix(primary()));
    }
    ExprPtr result = done(std::move(expr));
    return negated ? wrap(ExprKind::kNot, line, std::move(result)) : std::move(result);
  }

  std::vector<Token> tokens_;
  const std::string& name_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;
  bool saw_caller_ = false;
};

}  // namespace

Body parse(std::string_view source, const std::string& name) {
  return Parser(tokenize(source, name), name).run();
}

}  // namespace athanor::jinja

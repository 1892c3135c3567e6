// The grammar of expressions, loosest binding first.
#include "runtime/data/jinja/expression_parser.h"

#include <charconv>

namespace athanor::jinja {

ExprPtr ExpressionParser::tuple(bool with_choice, std::string_view end, bool in_parentheses) {
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
  if (!is_tuple && !in_parentheses) fail("expected an expression, found " + in_quotes(now().text));
  return done(std::move(all));
}

ExprPtr ExpressionParser::expression() {
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
ExprPtr ExpressionParser::disjunction() {
  ExprPtr left = conjunction();
  while (skip_name("or")) left = binary(ExprKind::kOr, "or", std::move(left), conjunction());
  return left;
}
ExprPtr ExpressionParser::conjunction() {
  ExprPtr left = negation();
  while (skip_name("and")) left = binary(ExprKind::kAnd, "and", std::move(left), negation());
  return left;
}
ExprPtr ExpressionParser::wrap(ExprKind kind, int line, ExprPtr operand) const {
  ExprPtr expr = make(kind, line);
  expr->children.push_back(std::move(operand));
  return done(std::move(expr));
}
ExprPtr ExpressionParser::negation() {
  const Nested nested(*this);
  const int line = now().line;
  if (skip_name("not")) return wrap(ExprKind::kNot, line, negation());
  return comparison();
}
ExprPtr ExpressionParser::comparison() {
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
ExprPtr ExpressionParser::sum() {
  ExprPtr left = concat();
  while (is_op("+") || is_op("-")) {
    const std::string op = take().text;
    left = binary(ExprKind::kBinary, op, std::move(left), concat());
  }
  return left;
}
ExprPtr ExpressionParser::concat() {
  ExprPtr first = product();
  if (!is_op("~")) return first;
  ExprPtr all = make(ExprKind::kConcat, first->line);
  all->children.push_back(std::move(first));
  while (skip_op("~")) all->children.push_back(product());
  return done(std::move(all));
}
ExprPtr ExpressionParser::product() {
  ExprPtr left = power();
  while (is_op("*") || is_op("/") || is_op("//") || is_op("%")) {
    const std::string op = take().text;
    left = binary(ExprKind::kBinary, op, std::move(left), power());
  }
  return left;
}
ExprPtr ExpressionParser::power() {
  ExprPtr left = unary(true);
  while (skip_op("**")) left = binary(ExprKind::kBinary, "**", std::move(left), unary(true));
  return left;
}
ExprPtr ExpressionParser::unary(bool with_filter) {
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
ExprPtr ExpressionParser::primary() {
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
ExprPtr ExpressionParser::name(const Token& token) {
  const std::string& text = token.text;
  if (text == "true" || text == "True") return constant(Value(true), token.line);
  if (text == "false" || text == "False") return constant(Value(false), token.line);
  if (text == "none" || text == "None") return constant(Value::none(), token.line);
  if (text == "caller") saw_caller_ = true;
  if (text == "varargs") saw_varargs_ = true;
  if (text == "kwargs") saw_kwargs_ = true;
  ExprPtr expr = make(ExprKind::kName, token.line);
  expr->name = text;
  return expr;
}
ExprPtr ExpressionParser::collection(const Token& token) {
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
ExprPtr ExpressionParser::postfix(ExprPtr value) {
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
ExprPtr ExpressionParser::subscript() {
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
void ExpressionParser::arguments(Expr& expr) {
  expect_op("(");
  bool first = true;
  while (!is_op(")")) {
    if (!first) {
      expect_op(",");
      if (is_op(")")) break;
    }
    first = false;
    if (is_op("*") || is_op("**")) {
      ExprPtr& unpacked = take().text == "*" ? expr.star : expr.star_star;
      if (unpacked || expr.star_star) fail("* and ** come once, in this order");
      unpacked = expression();
    } else if (now().kind == TokenKind::kName && ahead().kind == TokenKind::kOperator &&
               ahead().text == "=") {
      std::string key = take().text;
      take();
      for (const auto& [other, value] : expr.named) {
        if (other == key) fail("the argument " + in_quotes(key) + " is given twice");
      }
      if (expr.star_star) fail("a named argument follows **");
      expr.named.emplace_back(std::move(key), expression());
    } else {
      if (!expr.named.empty() || expr.star || expr.star_star)
        fail("a positional argument follows a named one");
      expr.children.push_back(expression());
    }
  }
  expect_op(")");
}
ExprPtr ExpressionParser::call(ExprPtr callee) {
  ExprPtr expr = make(ExprKind::kCall, now().line);
  expr->children.push_back(std::move(callee));
  arguments(*expr);
  return done(std::move(expr));
}
ExprPtr ExpressionParser::filters(ExprPtr value, bool first_without_pipe) {
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
ExprPtr ExpressionParser::test(ExprPtr value) {
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

}  // namespace athanor::jinja

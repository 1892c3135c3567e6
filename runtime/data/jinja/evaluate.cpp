// Expressions.
#include "runtime/data/jinja/interpreter.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {

Value Interpreter::name_value(const std::string& name, const ScopePtr& scope) {
  for (const Scope* at = scope.get(); at != nullptr; at = at->parent.get()) {
    for (const auto& [key, value] : at->names) {
      if (key == name) return value;
    }
  }
  return Value::undefined("'" + name + "' is undefined");
}

Value Interpreter::eval(const Expr& expr, const ScopePtr& scope) {
  const Nested nested(*this);
  step();
  line = expr.line;
  const auto child = [&](size_t i) { return eval(*expr.children[i], scope); };
  switch (expr.kind) {
    case ExprKind::kConstant:
      return expr.constant;
    case ExprKind::kName:
      return name_value(expr.name, scope);
    case ExprKind::kList:
    case ExprKind::kTuple: {
      List items;
      for (const ExprPtr& item : expr.children) items.push_back(eval(*item, scope));
      return expr.kind == ExprKind::kList ? list(std::move(items)) : tuple(std::move(items));
    }
    case ExprKind::kDict:
      return eval_dict(expr, scope);
    case ExprKind::kAttribute:
      return attribute(child(0), expr.name);
    case ExprKind::kItem:
      return eval_item(expr, scope);
    case ExprKind::kCall:
      return eval_call(expr, scope, nullptr);
    case ExprKind::kFilter:
      return eval_filter(expr, scope, nullptr);
    case ExprKind::kTest: {
      const Value value = child(0);
      return Value(test(expr.name, value, arguments(expr, scope)));
    }
    case ExprKind::kSlice:
    case ExprKind::kNamespaceField:
      break;
    default:
      return eval_operator(expr, scope);
  }
  fail("this expression is not supported here");
}

Value Interpreter::eval_operator(const Expr& expr, const ScopePtr& scope) {
  const auto child = [&](size_t i) { return eval(*expr.children[i], scope); };
  switch (expr.kind) {
    case ExprKind::kNot:
      return Value(!truth(child(0)));
    case ExprKind::kNegative:
      return sign(child(0), true);
    case ExprKind::kPositive:
      return sign(child(0), false);
    case ExprKind::kAnd: {
      Value left = child(0);
      return truth(left) ? child(1) : left;
    }
    case ExprKind::kOr: {
      Value left = child(0);
      return truth(left) ? left : child(1);
    }
    case ExprKind::kBinary: {
      const Value left = child(0);
      const Value right = child(1);
      line = expr.line;
      return binary(expr.name, left, right);
    }
    case ExprKind::kConcat: {
      std::string all;
      for (const ExprPtr& part : expr.children) all += str(eval(*part, scope));
      return text(std::move(all));
    }
    case ExprKind::kCompare:
      return eval_compare(expr, scope);
    case ExprKind::kChoice:
      if (truth(child(0))) return child(1);
      return expr.children[2]
                 ? child(2)
                 : Value::undefined("the inline if has no else and its condition is false");
    default:
      break;
  }
  fail("this expression is not supported here");
}

Value Interpreter::sign(const Value& value, bool negative) {
  if (!value.is_number()) fail("a sign before a " + type_name(value));
  if (value.is(Kind::kFloat)) return Value(negative ? -value.real() : value.real());
  return binary(negative ? "-" : "+", Value(int64_t{0}), value);
}

Value Interpreter::eval_dict(const Expr& expr, const ScopePtr& scope) {
  Dict dict;
  memory(static_cast<int64_t>(expr.children.size()) * 96);
  for (size_t i = 0; i < expr.children.size(); i += 2) {
    Value key = eval(*expr.children[i], scope);
    if (!is_hashable(key)) fail("a " + type_name(key) + " cannot be a key");
    dict.set(std::move(key), eval(*expr.children[i + 1], scope));
  }
  if (dict.depth() > 128) fail("a dict nested deeper than 128 levels");
  return Value(std::move(dict));
}

Value Interpreter::eval_item(const Expr& expr, const ScopePtr& scope) {
  const Value object = eval(*expr.children[0], scope);
  const Expr& index = *expr.children[1];
  if (index.kind != ExprKind::kSlice) return item(object, eval(index, scope));
  const auto part = [&](size_t i) {
    return index.children[i] ? eval(*index.children[i], scope) : Value::none();
  };
  const Value begin = part(0), end = part(1), by = part(2);
  return slice(object, begin, end, by);
}

Arguments Interpreter::arguments(const Expr& expr, const ScopePtr& scope) {
  Arguments all;
  for (size_t i = 1; i < expr.children.size(); ++i)
    all.positional.push_back(eval(*expr.children[i], scope));
  for (const auto& [key, value] : expr.named) all.named.emplace_back(key, eval(*value, scope));
  if (expr.star) {
    for (Value& value : iterate(eval(*expr.star, scope)))
      all.positional.push_back(std::move(value));
  }
  if (expr.star_star) {
    const Value more = eval(*expr.star_star, scope);
    if (!more.is(Kind::kDict)) fail("** needs a dict, found " + type_name(more));
    for (const auto& [key, value] : more.dict().entries()) {
      if (!key.is_string()) fail("** needs keys that are strings");
      for (const auto& [other, unused] : all.named) {
        if (other == key.string())
          fail("the argument " + in_quotes(key.string()) + " is given twice");
      }
      all.named.emplace_back(key.string(), value);
    }
  }
  return all;
}

Value Interpreter::eval_call(const Expr& expr, const ScopePtr& scope, const Value* caller) {
  const Value callee = eval(*expr.children[0], scope);
  Arguments all = arguments(expr, scope);
  if (caller != nullptr) all.named.emplace_back("caller", *caller);
  line = expr.line;
  if (callee.is_undefined()) fail(callee.undefined_message());
  if (!callee.is(Kind::kObject)) fail("a " + type_name(callee) + " cannot be called");
  return callee.object()->call(*this, all);
}

// `input`: what a filter without operand works on.
Value Interpreter::eval_filter(const Expr& expr, const ScopePtr& scope, const Value* input) {
  const Nested nested(*this);
  const Expr* operand = expr.children[0].get();
  Value value;
  if (operand == nullptr) {
    value = *input;
  } else {
    value = operand->kind == ExprKind::kFilter ? eval_filter(*operand, scope, input)
                                               : eval(*operand, scope);
  }
  const Arguments all = arguments(expr, scope);
  line = expr.line;
  return filter(expr.name, value, all);
}

Value Interpreter::eval_compare(const Expr& expr, const ScopePtr& scope) {
  Value left = eval(*expr.children[0], scope);
  for (size_t i = 0; i < expr.names.size(); ++i) {
    Value right = eval(*expr.children[i + 1], scope);
    line = expr.line;
    if (!compare(expr.names[i], left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}
bool Interpreter::compare(const std::string& op, const Value& left, const Value& right) {
  if (op == "==") return equal(left, right);
  if (op == "!=") return !equal(left, right);
  if (op == "in") return has(right, left);
  if (op == "not in") return !has(right, left);
  if (op == "<") return less(left, right);
  if (op == ">") return less(right, left);
  return (op == "<=" ? less(left, right) : less(right, left)) || equal(left, right);
}

}  // namespace athanor::jinja

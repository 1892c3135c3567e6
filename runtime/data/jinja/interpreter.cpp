// Walks the tree: scopes, loops, macros, output.
#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/data/jinja/ast.h"
#include "runtime/data/jinja/run.h"
#include "runtime/data/json_text.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<std::string, Value>> names;

  void set(const std::string& name, Value value) {
    for (auto& [key, old] : names) {
      if (key == name) {
        old = std::move(value);
        return;
      }
    }
    names.emplace_back(name, std::move(value));
  }
};
using ScopePtr = std::shared_ptr<Scope>;

class Namespace : public Object {
 public:
  std::string type() const override { return "Namespace"; }
  const Value* field(Run&, std::string_view name) override { return fields.find(name); }
  Dict fields;
};

class Function : public Object {
 public:
  using Body = std::function<Value(Run&, const Arguments&)>;
  Function(std::string name, Body body) : name_(std::move(name)), body_(std::move(body)) {}
  std::string type() const override { return name_; }
  bool callable() const override { return true; }
  Value call(Run& run, const Arguments& arguments) override { return body_(run, arguments); }

 private:
  std::string name_;
  Body body_;
};

class Loop : public Object {
 public:
  std::string type() const override { return "LoopContext"; }
  const Value* field(Run& run, std::string_view name) override {
    const int64_t size = static_cast<int64_t>(items.size());
    if (name == "index") return keep(Value(at + 1));
    if (name == "index0") return keep(Value(at));
    if (name == "revindex") return keep(Value(size - at));
    if (name == "revindex0") return keep(Value(size - at - 1));
    if (name == "first") return keep(Value(at == 0));
    if (name == "last") return keep(Value(at + 1 == size));
    if (name == "length") return keep(Value(size));
    if (name == "previtem" || name == "nextitem") {
      const int64_t other = at + (name == "nextitem" ? 1 : -1);
      return keep(other >= 0 && other < size ? items[static_cast<size_t>(other)]
                                             : Value::undefined("there is no such item"));
    }
    run.fail("loop." + std::string(name) + " is not supported");
  }
  List items;
  int64_t at = 0;

 private:
  const Value* keep(Value value) {
    kept_ = std::move(value);
    return &kept_;
  }
  Value kept_;
};

Value function(const char* name, Function::Body body) {
  return Value(std::shared_ptr<Object>(std::make_shared<Function>(name, std::move(body))));
}

enum class Flow { kOn, kBreak, kContinue };

class Interpreter : public Run {
 public:
  using Run::Run;
  // Macros hold scopes that hold macros, and namespaces may hold themselves: take them apart.
  ~Interpreter() {
    for (const ScopePtr& scope : scopes_) scope->names.clear();
    for (const auto& space : spaces_) space->fields = Dict();
  }

  Rendered render(const Body& body, const Value& variables) {
    const ScopePtr globals = inner(nullptr);
    add_globals(*globals);
    for (const auto& [key, value] : variables.dict().entries()) globals->set(key.string(), value);
    out_ = &rendered_.text;
    execute(body, inner(globals));
    return std::move(rendered_);
  }

 private:
  class Nested {
   public:
    explicit Nested(Interpreter& run) : run_(run) {
      if (++run_.depth_ > run_.limits().depth)
        run_.fail("the template nests deeper than " + std::to_string(run_.limits().depth) +
                  " levels");
    }
    ~Nested() { --run_.depth_; }

   private:
    Interpreter& run_;
  };

  ScopePtr inner(ScopePtr parent) {
    memory(128);
    auto scope = std::make_shared<Scope>();
    scope->parent = std::move(parent);
    return scope;
  }

  void add_globals(Scope& scope) {
    scope.set("raise_exception",
              function("raise_exception", [](Run& run, const Arguments& all) -> Value {
                run.fail("the template refuses: " + run.str(run.argument(all, 0, "message")));
              }));
    scope.set("strftime_now", function("strftime_now", [](Run& run, const Arguments& all) {
                return run.now(run.str(run.argument(all, 0, "format")));
              }));
    scope.set("namespace", function("namespace", [this](Run& run, const Arguments& all) {
                run.check_arguments(all, 0, names_of(all), "namespace");
                auto space = std::make_shared<Namespace>();
                for (const auto& [key, value] : all.named) set_field(*space, key, value);
                spaces_.push_back(space);
                return Value(std::shared_ptr<Object>(space));
              }));
    scope.set("dict", function("dict", [](Run& run, const Arguments& all) {
                run.check_arguments(all, 0, names_of(all), "dict");
                Dict dict;
                for (const auto& [key, value] : all.named) dict.set(key, value);
                return Value(std::move(dict));
              }));
    scope.set("range",
              function("range", [](Run& run, const Arguments& all) { return range(run, all); }));
    for (const char* name : {"lipsum", "cycler", "joiner"}) {
      scope.set(name, function(name, [name](Run& run, const Arguments&) -> Value {
                  run.fail("the function " + in_quotes(name) + " is not supported");
                }));
    }
  }
  static std::vector<std::string_view> names_of(const Arguments& all) {
    std::vector<std::string_view> names;
    for (const auto& [key, value] : all.named) names.push_back(key);
    return names;
  }
  static Value range(Run& run, const Arguments& all) {
    run.check_arguments(all, 3, {}, "range");
    for (const Value& v : all.positional) {
      if (!v.is_integer()) run.fail("range needs integers, found " + run.type_name(v));
    }
    if (all.positional.empty()) run.fail("range needs an argument");
    const bool one = all.positional.size() == 1;
    const int64_t begin = one ? 0 : all.positional[0].integer();
    const int64_t end = all.positional[one ? 0 : 1].integer();
    const int64_t by = all.positional.size() == 3 ? all.positional[2].integer() : 1;
    if (by == 0) run.fail("range with step 0");
    List items;
    for (int64_t i = begin; by > 0 ? i < end : i > end; i += by) {
      if (items.size() >= 100000) run.fail("a range has at most 100000 items");
      items.emplace_back(i);
    }
    return run.list(std::move(items));
  }

  void set_field(Namespace& space, const std::string& name, Value value) {
    if (name.starts_with("_")) fail("a namespace cannot store " + in_quotes(name));
    space.fields.set(name, std::move(value));
    memory(64);
  }

  void print(std::string_view text) {
    *out_ += text;
    memory(out_ == &rendered_.text ? 0 : static_cast<int64_t>(text.size()));
    if (static_cast<int64_t>(out_->size()) > limits().output)
      fail("the template writes more than " + std::to_string(limits().output) + " bytes");
  }

  std::string capture(const Body& body, const ScopePtr& scope) {
    std::string text;
    std::string* const before = std::exchange(out_, &text);
    const int64_t line_before = line;
    execute(body, scope);
    line = static_cast<int>(line_before);
    out_ = before;
    return text;
  }

  // ---- statements

  Flow execute(const Body& body, const ScopePtr& scope) {
    for (const Stmt& stmt : body) {
      if (const Flow flow = execute(stmt, scope); flow != Flow::kOn) return flow;
    }
    return Flow::kOn;
  }

  Flow execute(const Stmt& stmt, const ScopePtr& scope) {
    const Nested nested(*this);
    step();
    line = stmt.line;
    switch (stmt.kind) {
      case StmtKind::kText:
        print(stmt.text);
        break;
      case StmtKind::kPrint: {
        const Value value = eval(*stmt.exprs[0], scope);
        print(str(value));
        break;
      }
      case StmtKind::kIf:
        return execute(truth(eval(*stmt.exprs[0], scope)) ? stmt.body : stmt.otherwise, scope);
      case StmtKind::kFor:
        return loop(stmt, scope);
      case StmtKind::kSet:
        assign(*stmt.exprs[0], eval(*stmt.exprs[1], scope), scope, scope);
        break;
      case StmtKind::kSetBlock: {
        Value value = text(capture(stmt.body, inner(scope)));
        if (stmt.exprs[1]) value = eval_filter(*stmt.exprs[1], scope, &value);
        assign(*stmt.exprs[0], std::move(value), scope, scope);
        break;
      }
      case StmtKind::kMacro:
        scope->set(stmt.text, macro(stmt, scope, 0));
        break;
      case StmtKind::kCall: {
        const Value caller = macro(stmt, scope, 1);
        print(str(eval_call(*stmt.exprs[0], scope, &caller)));
        break;
      }
      case StmtKind::kFilter: {
        const Value value = text(capture(stmt.body, inner(scope)));
        print(str(eval_filter(*stmt.exprs[0], scope, &value)));
        break;
      }
      case StmtKind::kWith: {
        const ScopePtr within = inner(scope);
        for (size_t i = 0; i < stmt.exprs.size(); i += 2) {
          assign(*stmt.exprs[i], eval(*stmt.exprs[i + 1], scope), within, scope);
        }
        return execute(stmt.body, within);
      }
      case StmtKind::kGeneration:
        generation(stmt, scope);
        break;
      case StmtKind::kBreak:
        return Flow::kBreak;
      case StmtKind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kOn;
  }

  void generation(const Stmt& stmt, const ScopePtr& scope) {
    const bool placed = out_ == &rendered_.text && !in_generation_;
    rendered_.generation_misplaced = rendered_.generation_misplaced || !placed;
    const int64_t begin = static_cast<int64_t>(out_->size());
    const bool before = std::exchange(in_generation_, true);
    execute(stmt.body, inner(scope));
    in_generation_ = before;
    if (placed) rendered_.generation.push_back({begin, static_cast<int64_t>(out_->size())});
  }

  Flow loop(const Stmt& stmt, const ScopePtr& scope) {
    if (stmt.recursive) fail("recursive loops are not supported");
    auto state = std::make_shared<Loop>();
    for (Value& item : iterate(eval(*stmt.exprs[1], scope))) {
      if (stmt.exprs[2]) {
        const ScopePtr within = inner(scope);
        assign(*stmt.exprs[0], item, within, scope);
        if (!truth(eval(*stmt.exprs[2], within))) continue;
      }
      state->items.push_back(std::move(item));
    }
    if (state->items.empty()) return execute(stmt.otherwise, inner(scope));
    for (; state->at < static_cast<int64_t>(state->items.size()); ++state->at) {
      const ScopePtr within = inner(scope);
      within->set("loop", Value(std::shared_ptr<Object>(state)));
      assign(*stmt.exprs[0], state->items[static_cast<size_t>(state->at)], within, scope);
      if (execute(stmt.body, within) == Flow::kBreak) break;
    }
    return Flow::kOn;
  }

  // Fields belong to the namespace that `lookup` sees.
  void assign(const Expr& target, Value value, const ScopePtr& scope, const ScopePtr& lookup) {
    line = target.line;
    if (target.kind == ExprKind::kName) {
      scope->set(target.name, std::move(value));
    } else if (target.kind == ExprKind::kNamespaceField) {
      const Value space = name_value(target.name, lookup);
      auto* fields =
          space.is(Kind::kObject) ? dynamic_cast<Namespace*>(space.object().get()) : nullptr;
      if (fields == nullptr)
        fail("cannot assign to a field of " + in_quotes(target.name) + ", which is no namespace");
      set_field(*fields, target.names[0], std::move(value));
    } else {
      const List items = iterate(value);
      if (items.size() != target.children.size()) {
        fail("cannot unpack " + std::to_string(items.size()) + " values into " +
             std::to_string(target.children.size()) + " names");
      }
      for (size_t i = 0; i < items.size(); ++i)
        assign(*target.children[i], items[i], scope, lookup);
    }
  }

  Value macro(const Stmt& stmt, const ScopePtr& scope, size_t first_default) {
    scopes_.push_back(scope);
    return function("macro", [this, &stmt, scope, first_default](Run&, const Arguments& all) {
      const size_t count = stmt.parameters.size();
      const ScopePtr within = inner(scope);
      std::vector<std::string_view> names(stmt.parameters.begin(), stmt.parameters.end());
      if (stmt.uses_caller) names.push_back("caller");
      check_arguments(all, count, names, "the macro " + in_quotes(stmt.text));
      if (stmt.uses_caller)
        within->set("caller",
                    argument(all, count + 1, "caller", Value::undefined("no caller defined")));
      const size_t defaults = stmt.exprs.size() - first_default;
      const Value missing = Value(std::shared_ptr<Object>());
      for (size_t i = 0; i < count; ++i) {
        Value value = argument(all, i, stmt.parameters[i], missing);
        if (value.is(Kind::kObject) && value.object() == nullptr) {
          value =
              i + defaults >= count
                  ? eval(*stmt.exprs[first_default + i + defaults - count], within)
                  : Value::undefined("the parameter '" + stmt.parameters[i] + "' was not given");
        }
        within->set(stmt.parameters[i], std::move(value));
      }
      return text(capture(stmt.body, within));
    });
  }

  // ---- expressions

  Value name_value(const std::string& name, const ScopePtr& scope) {
    for (const Scope* at = scope.get(); at != nullptr; at = at->parent.get()) {
      for (const auto& [key, value] : at->names) {
        if (key == name) return value;
      }
    }
    return Value::undefined("'" + name + "' is undefined");
  }

  Value eval(const Expr& expr, const ScopePtr& scope) {
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
      case ExprKind::kSlice:
      case ExprKind::kNamespaceField:
        break;
    }
    fail("this expression is not supported here");
  }

  Value sign(const Value& value, bool negative) {
    if (!value.is_number()) fail("a sign before a " + type_name(value));
    if (value.is(Kind::kFloat)) return Value(negative ? -value.real() : value.real());
    return binary(negative ? "-" : "+", Value(int64_t{0}), value);
  }

  Value eval_dict(const Expr& expr, const ScopePtr& scope) {
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

  Value eval_item(const Expr& expr, const ScopePtr& scope) {
    const Value object = eval(*expr.children[0], scope);
    const Expr& index = *expr.children[1];
    if (index.kind != ExprKind::kSlice) return item(object, eval(index, scope));
    const auto part = [&](size_t i) {
      return index.children[i] ? eval(*index.children[i], scope) : Value::none();
    };
    const Value begin = part(0), end = part(1), by = part(2);
    return slice(object, begin, end, by);
  }

  Arguments arguments(const Expr& expr, const ScopePtr& scope) {
    Arguments all;
    for (size_t i = 1; i < expr.children.size(); ++i)
      all.positional.push_back(eval(*expr.children[i], scope));
    for (const auto& [key, value] : expr.named) all.named.emplace_back(key, eval(*value, scope));
    return all;
  }

  Value eval_call(const Expr& expr, const ScopePtr& scope, const Value* caller) {
    const Value callee = eval(*expr.children[0], scope);
    Arguments all = arguments(expr, scope);
    if (caller != nullptr) all.named.emplace_back("caller", *caller);
    line = expr.line;
    if (callee.is_undefined()) fail(callee.undefined_message());
    if (!callee.is(Kind::kObject)) fail("a " + type_name(callee) + " cannot be called");
    return callee.object()->call(*this, all);
  }

  // `input`: what a filter without operand works on.
  Value eval_filter(const Expr& expr, const ScopePtr& scope, const Value* input) {
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

  Value eval_compare(const Expr& expr, const ScopePtr& scope) {
    Value left = eval(*expr.children[0], scope);
    for (size_t i = 0; i < expr.names.size(); ++i) {
      Value right = eval(*expr.children[i + 1], scope);
      line = expr.line;
      if (!compare(expr.names[i], left, right)) return Value(false);
      left = std::move(right);
    }
    return Value(true);
  }
  bool compare(const std::string& op, const Value& left, const Value& right) {
    if (op == "==") return equal(left, right);
    if (op == "!=") return !equal(left, right);
    if (op == "in") return has(right, left);
    if (op == "not in") return !has(right, left);
    if (op == "<") return less(left, right);
    if (op == ">") return less(right, left);
    return (op == "<=" ? less(left, right) : less(right, left)) || equal(left, right);
  }

  Rendered rendered_;
  std::string* out_ = nullptr;
  int64_t depth_ = 0;
  bool in_generation_ = false;
  std::vector<ScopePtr> scopes_;
  std::vector<std::shared_ptr<Namespace>> spaces_;
};

Value from_json(const nlohmann::ordered_json& json, const std::string& name) {
  if (json.is_null()) return Value::none();
  if (json.is_boolean()) return Value(json.get<bool>());
  if (json.is_string()) return Value(json.get<std::string>());
  if (json.is_number_float()) return Value(json.get<double>());
  if (json.is_number_unsigned() && json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    throw Error(ErrorKind::kBadInput, name + ": integer " + json.dump() + " has more than 64 bits");
  }
  if (json.is_number()) return Value(json.get<int64_t>());
  if (json.is_array()) {
    List items;
    for (const auto& item : json) items.push_back(from_json(item, name));
    return Value::list(std::move(items));
  }
  Dict dict;
  for (const auto& [key, item] : json.items()) dict.set(key, from_json(item, name));
  return Value(std::move(dict));
}

}  // namespace

struct Template::Tree {
  Body body;
};

Template::Template(std::string_view source, std::string name)
    : tree_(std::make_unique<Tree>()), name_(std::move(name)) {
  if (const auto at = first_invalid_utf8(source)) {
    throw Error(ErrorKind::kBadInput, name_ + ": not valid UTF-8 at byte " + std::to_string(*at));
  }
  tree_->body = parse(source, name_);
}
Template::~Template() = default;
Template::Template(Template&&) noexcept = default;

Rendered Template::render(const Value& variables, const std::string& date,
                          const Limits& limits) const {
  Interpreter interpreter(name_, date, limits);
  return interpreter.render(tree_->body, variables);
}

Value value_from_json(std::string_view json, const std::string& name) {
  parse_json(json, name);  // depth, and errors with their place
  return from_json(nlohmann::ordered_json::parse(json), name);
}

}  // namespace athanor::jinja

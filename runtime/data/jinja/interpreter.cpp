// Statements: text, output, assignments, loops, blocks.
#include "runtime/data/jinja/interpreter.h"

#include "runtime/data/utf8.h"

namespace athanor::jinja {

Interpreter::~Interpreter() {
  for (const ScopePtr& scope : scopes_) scope->names.clear();
  for (const auto& space : spaces_) space->fields = Dict();
  for (const auto& loop : loops_) loop->forget();
}

Rendered Interpreter::render(const Body& body, const Value& variables) {
  const ScopePtr globals = inner(nullptr);
  add_globals(*globals);
  for (const auto& [key, value] : variables.dict().entries()) globals->set(key.string(), value);
  out_ = &rendered_.text;
  execute(body, inner(globals));
  return std::move(rendered_);
}

ScopePtr Interpreter::inner(ScopePtr parent) {
  memory(128);
  auto scope = std::make_shared<Scope>();
  scope->parent = std::move(parent);
  return scope;
}

void Interpreter::set_field(Namespace& space, const std::string& name, Value value) {
  if (name.starts_with("_")) fail("a namespace cannot store " + in_quotes(name));
  space.fields.set(name, std::move(value));
  memory(64);
}

void Interpreter::print(std::string_view text) {
  *out_ += text;
  memory(out_ == &rendered_.text ? 0 : static_cast<int64_t>(text.size()));
  if (static_cast<int64_t>(out_->size()) > limits().output)
    fail("the template writes more than " + std::to_string(limits().output) + " bytes");
}

std::string Interpreter::capture(const Body& body, const ScopePtr& scope) {
  std::string text;
  std::string* const before = std::exchange(out_, &text);
  const int64_t line_before = line;
  execute(body, scope);
  line = static_cast<int>(line_before);
  out_ = before;
  return text;
}

Flow Interpreter::execute(const Body& body, const ScopePtr& scope) {
  for (const Stmt& stmt : body) {
    if (const Flow flow = execute(stmt, scope); flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

Flow Interpreter::execute(const Stmt& stmt, const ScopePtr& scope) {
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
      return loop(stmt, scope, eval(*stmt.exprs[1], scope), 0);
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

void Interpreter::generation(const Stmt& stmt, const ScopePtr& scope) {
  const bool placed = out_ == &rendered_.text && !in_generation_;
  rendered_.generation_misplaced = rendered_.generation_misplaced || !placed;
  const int64_t begin = static_cast<int64_t>(out_->size());
  const bool before = std::exchange(in_generation_, true);
  execute(stmt.body, inner(scope));
  in_generation_ = before;
  if (placed) rendered_.generation.push_back({begin, static_cast<int64_t>(out_->size())});
}

// The items of a loop one by one; its filter sees names of the loop's target and those around.
Loop::Source Interpreter::source(const Stmt& stmt, const ScopePtr& scope, const Value& iterable) {
  auto items = std::make_shared<List>(iterate(iterable));
  return [this, &stmt, scope, items, at = size_t{0}]() mutable -> std::optional<Value> {
    while (at < items->size()) {
      Value item = (*items)[at++];
      if (!stmt.exprs[2]) return item;
      const ScopePtr within = inner(scope);
      assign(*stmt.exprs[0], item, within, scope);
      if (truth(eval(*stmt.exprs[2], within))) return item;
    }
    return std::nullopt;
  };
}

Flow Interpreter::loop(const Stmt& stmt, const ScopePtr& scope, const Value& iterable,
                       int64_t depth) {
  Loop::Recurse recurse;
  if (stmt.recursive) {
    recurse = [this, &stmt, scope, depth](const Value& items) {
      const Nested nested(*this);
      std::string text;
      std::string* const before = std::exchange(out_, &text);
      loop(stmt, scope, items, depth + 1);
      out_ = before;
      return Value(std::move(text));
    };
  }
  auto state = std::make_shared<Loop>(source(stmt, scope, iterable), depth, std::move(recurse));
  loops_.push_back(state);
  bool any = false;
  Flow flow = Flow::kOn;
  while (flow != Flow::kBreak && state->advance()) {
    any = true;
    step();
    const ScopePtr within = inner(scope);
    within->set("loop", Value(std::shared_ptr<Object>(state)));
    assign(*stmt.exprs[0], state->current(), within, scope);
    flow = execute(stmt.body, within);
  }
  if (state.use_count() == 2 && loops_.back() == state) loops_.pop_back();
  return any ? Flow::kOn : execute(stmt.otherwise, inner(scope));
}

// Fields belong to the namespace that `lookup` sees.
void Interpreter::assign(const Expr& target, Value value, const ScopePtr& scope,
                         const ScopePtr& lookup) {
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
    for (size_t i = 0; i < items.size(); ++i) assign(*target.children[i], items[i], scope, lookup);
  }
}

}  // namespace athanor::jinja

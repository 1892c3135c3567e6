// Walks the tree: scopes, loops, macros, output. One object renders once.
#pragma once

#include "runtime/data/jinja/ast.h"
#include "runtime/data/jinja/object.h"

namespace athanor::jinja {

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

enum class Flow { kOn, kBreak, kContinue };

class Interpreter : public Run {
 public:
  using Run::Run;
  // Macros hold scopes that hold macros, and namespaces and loops may hold themselves: take them
  // apart.
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  Rendered render(const Body& body, const Value& variables);

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

  ScopePtr inner(ScopePtr parent);
  void add_globals(Scope& scope);
  Value new_namespace(const Arguments& all);
  void set_field(Namespace& space, const std::string& name, Value value);
  void print(std::string_view text);
  std::string capture(const Body& body, const ScopePtr& scope);
  Flow execute(const Body& body, const ScopePtr& scope);
  Flow execute(const Stmt& stmt, const ScopePtr& scope);
  void generation(const Stmt& stmt, const ScopePtr& scope);
  Loop::Source source(const Stmt& stmt, const ScopePtr& scope, const Value& iterable);
  Flow loop(const Stmt& stmt, const ScopePtr& scope, const Value& iterable, int64_t depth);
  void assign(const Expr& target, Value value, const ScopePtr& scope, const ScopePtr& lookup);
  Value macro(const Stmt& stmt, const ScopePtr& scope, size_t first_default);
  void bind_parameters(const Stmt& stmt, size_t first_default, const Arguments& all,
                       const ScopePtr& within);
  Value name_value(const std::string& name, const ScopePtr& scope);
  Value eval(const Expr& expr, const ScopePtr& scope);
  Value eval_operator(const Expr& expr, const ScopePtr& scope);
  Value sign(const Value& value, bool negative);
  Value eval_dict(const Expr& expr, const ScopePtr& scope);
  Value eval_item(const Expr& expr, const ScopePtr& scope);
  Arguments arguments(const Expr& expr, const ScopePtr& scope);
  Value eval_call(const Expr& expr, const ScopePtr& scope, const Value* caller);
  Value eval_filter(const Expr& expr, const ScopePtr& scope, const Value* input);
  Value eval_compare(const Expr& expr, const ScopePtr& scope);
  bool compare(const std::string& op, const Value& left, const Value& right);

  Rendered rendered_;
  std::string* out_ = nullptr;
  int64_t depth_ = 0;
  bool in_generation_ = false;
  std::vector<ScopePtr> scopes_;
  std::vector<std::shared_ptr<Namespace>> spaces_;
  std::vector<std::shared_ptr<Loop>> loops_;
};

}  // namespace athanor::jinja

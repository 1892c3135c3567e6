// The tree of a template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/data/jinja/value.h"

namespace athanor::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

enum class ExprKind {
  kConstant,
  kName,
  kList,
  kTuple,
  kDict,
  kAttribute,
  kItem,
  kSlice,
  kCall,
  kFilter,
  kTest,
  kNot,
  kNegative,
  kPositive,
  kAnd,
  kOr,
  kBinary,
  kConcat,
  kCompare,
  kChoice,
  kNamespaceField
};

// children by kind: dict: key, value, …; item: object, index; slice: begin, end, step (null:
// absent); call: callee, arguments…; filter and test: operand (null in a filter block), arguments…;
// compare: first, others…; choice: condition, then, else or null.
struct Expr {
  ExprKind kind = ExprKind::kConstant;
  int line = 1;
  int depth = 1;
  Value constant;
  std::string name;                // name, attribute, filter, test, operator
  std::vector<std::string> names;  // compare: operators
  std::vector<ExprPtr> children;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, star_star;  // unpacked arguments of calls, filters and tests
};

enum class StmtKind {
  kText,
  kPrint,
  kIf,
  kFor,
  kSet,
  kSetBlock,
  kMacro,
  kCall,
  kFilter,
  kWith,
  kGeneration,
  kBreak,
  kContinue
};

struct Stmt;
using Body = std::vector<Stmt>;

// exprs by kind: print: values; if: condition; for: target, iterable, filter or null;
// set: target, value; set block: target, filter or null; macro, call: defaults of the last
// parameters (call: the call first); filter: filter; with: target, value, …
struct Stmt {
  StmtKind kind = StmtKind::kText;
  int line = 1;
  std::string text;                     // text; name of a macro
  std::vector<std::string> parameters;  // macro, call
  bool recursive = false;
  bool uses_caller = false;
  bool uses_varargs = false;
  bool uses_kwargs = false;
  std::vector<ExprPtr> exprs;
  Body body;
  Body otherwise;  // else; an elif is a single `if` here
};

Body parse(std::string_view source, const std::string& name);

}  // namespace athanor::jinja

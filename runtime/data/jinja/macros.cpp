// Macros, and the functions that every template sees.
#include <algorithm>

#include "runtime/data/jinja/call.h"
#include "runtime/data/jinja/interpreter.h"
#include "runtime/data/utf8.h"

namespace athanor::jinja {
namespace {

class Cycler : public Object {
 public:
  explicit Cycler(List items) : items_(std::move(items)) {}
  std::string type() const override { return "Cycler"; }
  std::optional<Value> field(Run&, std::string_view name) override {
    if (name == "current") return items_[at_];
    if (name != "next" && name != "reset") return std::nullopt;
    return function("cycler." + std::string(name),
                    [this, next = name == "next"](Run& run, const Arguments& all) {
                      bind_arguments(run, "the cycler", 0, "", all);
                      if (!next) {
                        at_ = 0;
                        return Value::none();
                      }
                      Value value = items_[at_];
                      at_ = (at_ + 1) % items_.size();
                      return value;
                    });
  }

 private:
  List items_;
  size_t at_ = 0;
};

Value new_cycler(Run& run, const Arguments& all) {
  if (all.positional.empty() || !all.named.empty()) run.fail("cycler needs items, without names");
  return Value(std::shared_ptr<Object>(std::make_shared<Cycler>(all.positional)));
}

// Gives nothing the first time, then its separator.
Value new_joiner(Run& run, const Arguments& all) {
  const List bound = bind_arguments(run, "joiner", 0, "sep", all);
  const bool given = !bound[0].is(Kind::kObject);
  return function("Joiner", [by = given ? bound[0] : Value(std::string(", ")), used = false](
                                Run& caller, const Arguments& none) mutable {
    bind_arguments(caller, "the joiner", 0, "", none);
    return std::exchange(used, true) ? by : Value(std::string());
  });
}

// dict(mapping or pairs, name=value, …)
Value new_dict(Run& run, const Arguments& all) {
  if (all.positional.size() > 1) run.fail("dict takes at most one positional argument");
  Dict dict;
  if (!all.positional.empty()) {
    const Value& from = all.positional[0];
    if (from.is(Kind::kDict)) {
      dict = from.dict();
    } else {
      run.require_defined(from);
      for (const Value& pair : run.iterate(from)) {
        const List parts = run.iterate(pair);
        if (parts.size() != 2) run.fail("dict needs pairs");
        if (!is_hashable(parts[0])) run.fail("a " + run.type_name(parts[0]) + " cannot be a key");
        dict.set(parts[0], parts[1]);
      }
    }
  }
  for (const auto& [key, value] : all.named) dict.set(key, value);
  run.memory(dict.size() * 96);
  if (dict.depth() > 128) run.fail("a dict nested deeper than 128 levels");
  return Value(std::move(dict));
}

Value new_range(Run& run, const Arguments& all) {
  bind_arguments(run, "range", 1, "_ _ _", all);
  for (const Value& v : all.positional) {
    if (!v.is_integer()) run.fail("range needs integers, found " + run.type_name(v));
  }
  const bool one = all.positional.size() == 1;
  const int64_t begin = one ? 0 : all.positional[0].integer();
  const int64_t end = all.positional[one ? 0 : 1].integer();
  const int64_t by = all.positional.size() == 3 ? all.positional[2].integer() : 1;
  if (by == 0) run.fail("range with step 0");
  List items;
  for (int64_t i = begin; by > 0 ? i < end : i > end;) {
    if (items.size() >= 100000) run.fail("a range has at most 100000 items");
    items.emplace_back(i);
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  run.memory(static_cast<int64_t>(items.size() * sizeof(Value)));
  std::string text = "range(" + std::to_string(begin) + ", " + std::to_string(end);
  text += by == 1 ? ")" : ", " + std::to_string(by) + ")";
  return Value(std::shared_ptr<Object>(std::make_shared<View>("range", std::move(items), text)));
}

Value raise_exception(Run& run, const Arguments& all) {
  run.fail("the template refuses: " +
           run.str(bind_arguments(run, "raise_exception", 1, "message", all)[0]));
}

Value strftime_now(Run& run, const Arguments& all) {
  const Value format = bind_arguments(run, "strftime_now", 1, "format", all)[0];
  if (!format.is_string()) run.fail("strftime_now needs a string");
  return run.now(format.string());
}

}  // namespace

Value Interpreter::new_namespace(const Arguments& all) {
  auto space = std::make_shared<Namespace>();
  const Value fields = new_dict(*this, all);
  for (const auto& [key, value] : fields.dict().entries()) {
    if (!key.is_string()) fail("a namespace needs keys that are strings");
    set_field(*space, key.string(), value);
  }
  spaces_.push_back(space);
  return Value(std::shared_ptr<Object>(space));
}

void Interpreter::add_globals(Scope& scope) {
  const std::pair<const char*, Value (*)(Run&, const Arguments&)> functions[] = {
      {"raise_exception", raise_exception},
      {"strftime_now", strftime_now},
      {"dict", new_dict},
      {"range", new_range},
      {"cycler", new_cycler},
      {"joiner", new_joiner}};
  for (const auto& [name, body] : functions) scope.set(name, function(name, body));
  scope.set("namespace", function("namespace", [this](Run&, const Arguments& all) {
              return new_namespace(all);
            }));
  scope.set("lipsum", function("lipsum", [](Run& run, const Arguments&) -> Value {
              run.fail("the function \"lipsum\" is not supported");
            }));
}

Value Interpreter::macro(const Stmt& stmt, const ScopePtr& scope, size_t first_default) {
  scopes_.push_back(scope);
  return function("macro", [this, &stmt, scope, first_default](Run&, const Arguments& all) {
    const ScopePtr within = inner(scope);
    bind_parameters(stmt, first_default, all, within);
    return text(capture(stmt.body, within));
  });
}

// Parameters, then what the body uses of caller, varargs and kwargs.
void Interpreter::bind_parameters(const Stmt& stmt, size_t first_default, const Arguments& all,
                                  const ScopePtr& within) {
  const std::string what = "the macro " + in_quotes(stmt.text);
  const size_t count = stmt.parameters.size();
  const size_t given = std::min(count, all.positional.size());
  if (all.positional.size() > count && !stmt.uses_varargs) {
    fail(what + " takes at most " + std::to_string(count) + " arguments, found " +
         std::to_string(all.positional.size()));
  }
  std::vector<std::optional<Value>> values(count);
  std::copy_n(all.positional.begin(), given, values.begin());
  Value caller = Value::undefined("no caller defined");
  Dict kwargs;
  for (const auto& [key, value] : all.named) {
    const auto at = std::find(stmt.parameters.begin(), stmt.parameters.end(), key);
    if (at != stmt.parameters.end()) {
      const size_t place = static_cast<size_t>(at - stmt.parameters.begin());
      if (place < given) fail(what + ": the argument " + in_quotes(key) + " is given twice");
      values[place] = value;
    } else if (key == "caller" && stmt.uses_caller) {
      caller = value;
    } else if (stmt.uses_kwargs) {
      kwargs.set(key, value);
    } else {
      fail(what + " takes no argument " + in_quotes(key));
    }
  }
  if (stmt.uses_caller) within->set("caller", std::move(caller));
  if (stmt.uses_kwargs) within->set("kwargs", Value(std::move(kwargs)));
  if (stmt.uses_varargs) {
    within->set("varargs", tuple(List(all.positional.begin() + static_cast<int64_t>(given),
                                      all.positional.end())));
  }
  const size_t defaults = stmt.exprs.size() - first_default;
  for (size_t i = 0; i < count; ++i) {
    if (!values[i]) {
      values[i] = i + defaults >= count
                      ? eval(*stmt.exprs[first_default + i + defaults - count], within)
                      : Value::undefined("parameter '" + stmt.parameters[i] + "' was not given");
    }
    within->set(stmt.parameters[i], std::move(*values[i]));
  }
}

}  // namespace athanor::jinja

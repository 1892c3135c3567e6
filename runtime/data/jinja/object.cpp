// Loops one item at a time, and the text of objects.
#include "runtime/data/jinja/object.h"

namespace athanor::jinja {

Value function(std::string name, Function::Body body) {
  return Value(
      std::shared_ptr<Object>(std::make_shared<Function>(std::move(name), std::move(body))));
}

Value generator(List items) {
  return Value(std::shared_ptr<Object>(std::make_shared<Generator>(std::move(items))));
}

std::string Namespace::repr(Run& run) {
  if (printing) run.fail("the text of a namespace that holds itself is not supported");
  printing = true;
  std::string text = "<Namespace " + run.repr(Value(Dict(fields))) + ">";
  printing = false;
  return text;
}

std::optional<Value> View::field(Run& run, std::string_view name) {
  for (const std::string_view lacking :
       {"count", "index", "start", "stop", "step", "mapping", "isdisjoint"}) {
    if (name == lacking)
      run.fail("the attribute '" + std::string(name) + "' of a " + type_ + " is not supported");
  }
  return std::nullopt;
}

std::string View::repr(Run& run) {
  return is_range() ? text_ : type_ + "(" + run.repr(Value::list(items_)) + ")";
}

bool Loop::peek() {
  if (ahead_.empty() && source_) {
    if (std::optional<Value> next = source_()) {
      ahead_.push_back(std::move(*next));
    } else {
      source_ = nullptr;
    }
  }
  return !ahead_.empty();
}

bool Loop::advance() {
  if (!peek()) return false;
  before_ = at_ < 0 ? Value::undefined("there is no previous item") : std::move(current_);
  current_ = std::move(ahead_.front());
  ahead_.pop_front();
  ++at_;
  return true;
}

int64_t Loop::size() {
  if (!size_) {
    while (source_) {
      if (std::optional<Value> next = source_()) {
        ahead_.push_back(std::move(*next));
      } else {
        source_ = nullptr;
      }
    }
    size_ = at_ + 1 + static_cast<int64_t>(ahead_.size());
  }
  return *size_;
}

std::optional<Value> Loop::field(Run& run, std::string_view name) {
  if (name == "index") return Value(at_ + 1);
  if (name == "index0") return Value(at_);
  if (name == "revindex") return Value(size() - at_);
  if (name == "revindex0") return Value(size() - at_ - 1);
  if (name == "first") return Value(at_ == 0);
  if (name == "last") return Value(!peek());
  if (name == "length") return Value(size());
  if (name == "depth") return Value(depth0_ + 1);
  if (name == "depth0") return Value(depth0_);
  if (name == "previtem") return before_;
  if (name == "nextitem")
    return peek() ? ahead_.front() : Value::undefined("there is no next item");
  if (name == "cycle") {
    return function("loop.cycle", [at = at_](Run& caller, const Arguments& all) {
      if (all.positional.empty()) caller.fail("loop.cycle needs an argument");
      if (!all.named.empty()) caller.fail("loop.cycle takes no named arguments");
      return all.positional[static_cast<size_t>(at) % all.positional.size()];
    });
  }
  if (name == "changed") {
    return function("loop.changed", [this](Run& caller, const Arguments& all) {
      if (!all.named.empty()) caller.fail("loop.changed takes no named arguments");
      const bool same =
          changed_ && caller.equal(Value::tuple(*changed_), Value::tuple(all.positional));
      changed_ = all.positional;
      return Value(!same);
    });
  }
  if (name.starts_with("_")) return std::nullopt;
  run.fail("loop." + std::string(name) + " is not supported");
}

Value Loop::call(Run& run, const Arguments& all) {
  if (!recurse_) run.fail("loop() is only in a loop with 'recursive'");
  if (all.positional.size() != 1 || !all.named.empty()) run.fail("loop() takes one argument");
  return recurse_(all.positional[0]);
}

std::string Loop::repr(Run&) {
  return "<LoopContext " + std::to_string(at_ + 1) + "/" + std::to_string(size()) + ">";
}

}  // namespace athanor::jinja

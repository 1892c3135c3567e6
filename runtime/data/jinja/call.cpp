// Parameters by place and by name, as Python matches them.
#include "runtime/data/jinja/call.h"

#include <algorithm>

#include "runtime/data/utf8.h"

namespace athanor::jinja {

const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name) {
  const auto at = std::find_if(table.begin(), table.end(),
                               [&](const Builtin& entry) { return entry.name == name; });
  return at == table.end() ? nullptr : &*at;
}

List bind_arguments(Run& run, const std::string& what, size_t least, std::string_view parameters,
                    const Arguments& all) {
  if (parameters == "*") return {};
  std::vector<std::string_view> names;
  for (size_t at = 0; at < parameters.size();) {
    const size_t end = std::min(parameters.find(' ', at), parameters.size());
    names.push_back(parameters.substr(at, end - at));
    at = end + 1;
  }
  if (all.positional.size() > names.size()) {
    run.fail(what + " takes at most " + std::to_string(names.size()) + " arguments, found " +
             std::to_string(all.positional.size()));
  }
  List bound = all.positional;
  bound.resize(names.size(), Value(std::shared_ptr<Object>()));
  for (const auto& [key, value] : all.named) {
    const auto at = std::find(names.begin(), names.end(), key);
    if (at == names.end() || key == "_")
      run.fail(what + ": the argument " + in_quotes(key) + " is not supported");
    const size_t place = static_cast<size_t>(at - names.begin());
    if (place < all.positional.size())
      run.fail(what + ": the argument " + in_quotes(key) + " is given twice");
    bound[place] = value;
  }
  for (size_t i = 0; i < least; ++i) {
    if (bound[i].is(Kind::kObject) && bound[i].object() == nullptr) {
      run.fail(what + " needs " + std::to_string(least) + " arguments" +
               (names[i] == "_" ? "" : ", " + in_quotes(names[i]) + " is missing"));
    }
  }
  return bound;
}

}  // namespace athanor::jinja

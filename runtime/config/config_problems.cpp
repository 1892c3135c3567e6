// Sorting by place, and the one throw.
#include "runtime/config/config_problems.h"

#include <algorithm>

#include "core/error.h"

namespace athanor::config_detail {

int Problems::place(const std::string& key) const {
  const auto found = places_.find(key);
  return found == places_.end() ? kNoLine : found->second;
}

void Problems::add(const std::string& key, const std::string& found, const std::string& needed) {
  add_at(place(key), key, found, needed);
}

void Problems::add_at(int line, const std::string& key, const std::string& found,
                      const std::string& needed) {
  std::string where = file_.string();
  if (line == kCommandLine) {
    where = "command line";
  } else if (line != kNoLine) {
    where += ":" + std::to_string(line);
  }
  problems_.push_back({line, where + ": " + (key.empty() ? "" : key + ": ") + "found " + found +
                                 ", needed " + needed});
}

void Problems::throw_if_any() const {
  if (problems_.empty()) return;
  std::vector<Problem> sorted = problems_;
  std::ranges::stable_sort(sorted, {}, &Problem::line);
  std::string message;
  for (const Problem& problem : sorted) {
    if (!message.empty()) message += '\n';
    message += problem.text;
  }
  throw Error(ErrorKind::kConfig, message);
}

}  // namespace athanor::config_detail

#include "launcher/restart_policy.h"

#include <algorithm>

#include "core/error.h"

namespace athanor {
namespace {

// What another attempt may not meet again. Mistakes in configuration and data, a plan that does not
// fit and numbers that diverge are the same every time.
bool may_pass(int code) {
  for (const ErrorKind kind :
       {ErrorKind::kLostPeer, ErrorKind::kInternal, ErrorKind::kIo, ErrorKind::kHang}) {
    if (code == exit_code(kind)) return true;
  }
  return false;
}

}  // namespace

RestartPolicy::Decision RestartPolicy::after(int code, int64_t step) {
  Decision decision;
  decision.ranks = ranks_;
  stalls_ = step > step_ ? 0 : stalls_ + 1;
  step_ = std::max(step_, step);
  if (code == 0 || options_.max_restarts == 0) return decision;
  if (!may_pass(code)) {
    decision.why_not = "exit code " + std::to_string(code) + " would come again";
  } else if (restarts_ == options_.max_restarts) {
    decision.why_not = "max_restarts: " + std::to_string(restarts_) + " are used up";
  } else if (stalls_ >= kMaxStalls) {
    decision.why_not = std::to_string(stalls_) + " attempts in a row made no progress" +
                       (step_ < 0 ? "" : " beyond step " + std::to_string(step_));
  } else {
    // Twice at the same place: a rank may be what is missing. Without a checkpoint fewer ranks
    // would be another run, since rows of a step are counted by ranks.
    if (stalls_ >= kMaxStalls - 1 && step_ >= 0 && ranks_ > options_.min_ranks) {
      decision.ranks = --ranks_;
      stalls_ = 0;
    }
    decision.again = true;
    ++restarts_;
  }
  return decision;
}

}  // namespace athanor

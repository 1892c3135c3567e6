// Whether a run that has failed is started again, and with how many ranks.
#pragma once

#include <cstdint>
#include <string>

namespace athanor {

struct RestartOptions {
  int64_t max_restarts = 0;
  int ranks = 1;
  int min_ranks = 1;  // it may go on with so few
};

class RestartPolicy {
 public:
  // So many attempts in a row that end where they began are the last ones.
  static constexpr int kMaxStalls = 3;

  // `step`: of the newest checkpoint that the run may go on from; -1: none.
  RestartPolicy(const RestartOptions& options, int64_t step)
      : options_(options), ranks_(options.ranks), step_(step) {}

  struct Decision {
    bool again = false;
    int ranks = 0;
    std::string why_not;  // empty: there is nothing to restart
  };
  // After an attempt that ended with `code`, when the newest checkpoint is of `step`.
  Decision after(int code, int64_t step);

  int64_t restarts() const { return restarts_; }

 private:
  RestartOptions options_;
  int ranks_;
  int64_t step_;
  int64_t restarts_ = 0;
  int stalls_ = 0;
};

}  // namespace athanor

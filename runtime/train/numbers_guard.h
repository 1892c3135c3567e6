// What a run does when its numbers break: a step whose loss or gradient norm is not finite changes
// nothing, is reported with the samples it had, and three in a row end the run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/stream.h"
#include "runtime/data/batch.h"
#include "runtime/data/dataset.h"
#include "runtime/train/trainer.h"
#include "sharding/comm/communicator.h"

namespace athanor {

// What step `step` (from 0) was made of: `batch` is this rank's part of the micro-batches from
// `first_micro_batch` of `epoch`, spread by `plan`.
struct StepOrigin {
  int64_t step = 0;
  int64_t epoch = 0;
  int64_t first_micro_batch = 0;
  const LanePlan& plan;
  const StepBatch& batch;
};

class NumbersGuard {
 public:
  static constexpr int kSkipsInARow = 3;

  // `report` has the files that the samples come from.
  NumbersGuard(const BatchSource& data, const DatasetReport& report)
      : data_(data), report_(report) {}

  // Every rank calls it after each step; all see the same numbers. Warnings name each micro-batch
  // whose loss is not finite, by the rank that had it; when only the norm is not, rank 0 names all
  // samples of the step, by file and line. Error(kDiverged) at the third skipped step in a row.
  void observe(const StepResult& result, const StepOrigin& origin, Communicator& communicator,
               Stream& stream);

 private:
  void report(const StepResult& result, const StepOrigin& origin, Communicator& communicator,
              Stream& stream) const;

  // "samples FILE:LINE, …", the first of them.
  std::string sample_list(const std::vector<int64_t>& ids) const;

  const BatchSource& data_;
  const DatasetReport& report_;
  int in_a_row_ = 0;
};

}  // namespace athanor

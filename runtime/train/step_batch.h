// The micro-batches of one step on the host, ready to be copied to the device.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/data/batch.h"

namespace athanor {

struct HostMicroBatch {
  MicroBatch data;
  std::vector<int32_t> target_rows;  // [Nt] tokens that have a target
  std::vector<int32_t> targets;      // [Nt]
  int64_t attention_pairs = 0;
};

struct StepBatch {
  int64_t micro_batches = 0;          // M of this step, over all ranks
  int64_t target_tokens = 0;          // over all ranks
  std::vector<HostMicroBatch> slots;  // of this rank; absent slots have no tokens
};

HostMicroBatch prepare_micro_batch(MicroBatch data);
// The largest micro-batch there can be: `rows` samples of `length` tokens, all with a target. Plans
// run on it.
HostMicroBatch full_micro_batch(int64_t rows, int64_t length);

}  // namespace athanor

// rows per step = per_device_train_batch_size * gradient_accumulation_steps * world.
#include "runtime/config/batch_plan.h"

#include <algorithm>
#include <string>

#include "core/error.h"

namespace athanor {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t rows_per_step(const RunConfig& config, int64_t world) {
  const int64_t rows = config.per_device_train_batch_size;
  const int64_t accumulation = config.gradient_accumulation_steps.value_or(1);
  const int64_t derived = rows * accumulation * world;
  if (!config.global_batch_size) return derived;
  const int64_t given = *config.global_batch_size;
  if (config.gradient_accumulation_steps && given != derived) {
    throw Error(ErrorKind::kConfig,
                "global_batch_size: found " + std::to_string(given) + ", needed " +
                    std::to_string(derived) + " = per_device_train_batch_size " +
                    std::to_string(rows) + " x gradient_accumulation_steps " +
                    std::to_string(accumulation) + " x " + std::to_string(world) +
                    " ranks (leave one of the two keys out)");
  }
  if (given % rows != 0) {
    throw Error(ErrorKind::kConfig, "global_batch_size: found " + std::to_string(given) +
                                        ", needed a multiple of per_device_train_batch_size " +
                                        std::to_string(rows));
  }
  return given;
}

// A step's token ids lie in host memory (20 bytes a token) and its offsets are 32-bit.
void check_size(const BatchPlan& plan, int64_t cutoff_len) {
  constexpr int64_t kMaxTokens = int64_t{1} << 24;  // of a micro-batch
  constexpr int64_t kMaxMicroBatches = int64_t{1} << 16;
  constexpr int64_t kMaxStepTokens = int64_t{1} << 26;
  const auto fail = [](const std::string& what, int64_t found, int64_t needed) {
    throw Error(ErrorKind::kConfig, what + ": found " + std::to_string(found) +
                                        ", needed at most " + std::to_string(needed));
  };
  // Neither factor is beyond 2^40 and 2^20: no product overflows.
  const int64_t tokens = plan.rows_per_micro_batch * cutoff_len;
  if (tokens > kMaxTokens) {
    fail("per_device_train_batch_size x cutoff_len (tokens of a micro-batch)", tokens, kMaxTokens);
  }
  if (plan.micro_batches_per_rank > kMaxMicroBatches) {
    fail("gradient_accumulation_steps or global_batch_size (micro-batches a rank and step)",
         plan.micro_batches_per_rank, kMaxMicroBatches);
  }
  if (tokens * plan.micro_batches_per_rank > kMaxStepTokens) {
    fail("cutoff_len x rows (tokens a rank and step)", tokens * plan.micro_batches_per_rank,
         kMaxStepTokens);
  }
}

}  // namespace

BatchPlan resolve_batch(const RunConfig& config, int world) {
  ATHANOR_CHECK(world >= 1 && config.per_device_train_batch_size >= 1,
                "world " + std::to_string(world));
  BatchPlan plan;
  plan.world = world;
  plan.rows_per_micro_batch = config.per_device_train_batch_size;
  plan.rows_per_step = rows_per_step(config, world);
  plan.micro_batches = plan.rows_per_step / plan.rows_per_micro_batch;
  plan.lanes = config.numerics.lanes.value_or(world);
  if (plan.lanes < world) {
    throw Error(ErrorKind::kConfig, "numerics.lanes: found " + std::to_string(plan.lanes) +
                                        ", needed at least one for each of the " +
                                        std::to_string(world) + " ranks");
  }
  plan.micro_batches_per_lane = ceil_div(plan.micro_batches, plan.lanes);
  plan.micro_batches_per_rank =
      std::min(plan.micro_batches, plan.micro_batches_per_lane * ceil_div(plan.lanes, plan.world));
  check_size(plan, config.cutoff_len);
  return plan;
}

}  // namespace athanor

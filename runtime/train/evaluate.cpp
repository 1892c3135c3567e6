#include "runtime/train/evaluate.h"

#include <cmath>

#include "runtime/train/run.h"
#include "runtime/train/trainer.h"

namespace athanor {
namespace {

// The same model in micro-batches of its own. A base has nothing to train then, and no state of an
// optimizer; that of an adapter is small and stays.
ResolvedRun forward_only(ResolvedRun run) {
  if (!run.spec.lora) {
    for (UnitSpec& unit : run.spec.units) {
      for (ParamSpec& param : unit.params) param.trainable = false;
    }
    run.spec.first_backward = static_cast<int>(run.spec.chain.size());
  }
  run.trainer.lanes = 1;
  run.trainer.micro_batches = 1;
  run.trainer.order = ScheduleOrder::kBatchMajor;
  run.trainer.recompute = Recomputation::kFull;
  run.trainer.reduce = ReduceMode::kStep;
  return run;
}

}  // namespace

double Evaluation::perplexity() const { return std::exp(loss); }

Evaluation evaluate_model(const ResolvedRun& run, const BatchSource& data, CpuDevice& device,
                          Allocator& memory) {
  const ResolvedRun frozen = forward_only(run);
  const auto communicator = make_solo_communicator();
  Trainer trainer(frozen.spec, frozen.trainer,
                  {memory, device.compute, device.communication, *communicator, &device.storage});
  RunWeights weights(frozen);
  trainer.load(&weights.source());
  const LanePlan plan = trainer.lane_plan(1);
  Evaluation result;
  double loss = 0;
  for (int64_t index = 0; index < data.micro_batches_per_epoch(); ++index) {
    const StepBatch batch = make_step_batch(data, plan, 0, 0, index);
    const MicroBatch& micro = batch.slots.at(0).data;
    result.samples += static_cast<int64_t>(micro.sample_ids.size());
    result.tokens += static_cast<int64_t>(micro.input_ids.size());
    result.target_tokens += batch.target_tokens;
    loss += trainer.evaluate(batch);
  }
  result.loss = loss / static_cast<double>(result.target_tokens);
  return result;
}

}  // namespace athanor

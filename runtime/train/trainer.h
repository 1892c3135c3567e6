// Trainer: the training step of one rank. train_step is one loop over the visit list; which stage,
// which tier and which schedule it runs under is decided by the stores and by the list. A plan runs
// the same code on counting streams.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/activity.h"
#include "core/buffer.h"
#include "runtime/checkpoint/state_shard.h"
#include "runtime/model/model_spec.h"
#include "runtime/model/transformer.h"
#include "runtime/optim/optimizer.h"
#include "runtime/train/activations.h"
#include "runtime/train/grad_norm.h"
#include "runtime/train/step_batch.h"
#include "sharding/grad_store.h"
#include "sharding/optimizer_state_store.h"
#include "sharding/param_store.h"
#include "sharding/schedule.h"

namespace athanor {

struct TrainerOptions {
  DType dtype = DType::kF32;
  int zero_stage = 0;
  int64_t persist_below = 0;
  DiskPlacement disk;
  std::string disk_directory;    // where the file of the disk tier goes
  bool frozen_in_place = false;  // a plan's assumption: the model's files hold the working dtype
  ScheduleOrder order = ScheduleOrder::kBatchMajor;
  Recomputation recompute = Recomputation::kNone;
  ReduceMode reduce = ReduceMode::kStep;
  int lanes = 1;
  int64_t micro_batches = 1;  // M of a full step
  int64_t rows = 1;           // B
  int64_t cutoff_len = 0;
  OptimizerOptions optimizer;
  double max_grad_norm = 1.0;
  uint64_t seed = 42;
  bool checkpoint_copy = false;  // memory from which checkpoints are written beside the training
};

struct StepResult {
  double loss = 0;       // mean over the step's target tokens
  double grad_norm = 0;  // before clipping
  // Loss or norm is not finite, on every rank then: nothing was updated.
  bool skipped = false;
  std::vector<int64_t> non_finite_slots;  // of a skipped step: this rank's slots to blame, if any
};

// Receives trained parameters in float32, parameter by parameter, on every rank; `values` is valid
// during the call.
class WeightSink {
 public:
  virtual ~WeightSink() = default;
  virtual void write(const ParamSpec& param, const float* values) = 0;
};

class Trainer {
 public:
  // `spec` and everything in `context` outlive the trainer. All memory is allocated here.
  Trainer(const ModelSpec& spec, const TrainerOptions& options, const StoreContext& context);
  // Waits for collectives under way: they use the stores' memory, on this rank and on its peers.
  ~Trainer();

  // Where it says what it is doing; outlives the trainer.
  void observe(Activity* activity) { activity_ = activity; }

  // Reads the ranges that this rank keeps; in a plan `source` may be null.
  void load(ParamSource* source);
  // Of a checkpoint made after so many updates, when its masters were loaded.
  void load_moments(MomentSource& source, int64_t updates) {
    states_.load_moments(source);
    updates_ = updates;
  }

  // One optimizer step, numbered from 0. With a non-finite loss or norm no weight and no optimizer
  // state changes, and the optimizer does not count the step.
  StepResult train_step(const StepBatch& batch, int64_t step, double learning_rate);
  // Sum of the losses of a batch's targets; no gradients.
  double evaluate(const StepBatch& batch);

  // A collective: every rank calls it, and every rank's sink gets all trained parameters.
  void export_trained(WeightSink* sink);

  // How the micro-batches of a step are spread.
  LanePlan lane_plan(int64_t micro_batches) const;

  // Updates so far: Adam's step count, which skipped steps do not raise.
  int64_t updates() const { return updates_; }

  const std::vector<Visit>& train_schedule(int64_t micro_batches);
  const PartitionTable& partition() const { return table_; }
  const ParamStore& params() const { return params_; }
  const GradStore& grads() const { return grads_; }
  const DiskTier& disk() const { return disk_; }
  Transformer& model() { return *model_; }
  // This rank's share of a checkpoint.
  StateShard& state_shard() { return *shard_; }

 private:
  struct Stats {  // in device memory
    double loss = 0;
    double grad_norm = 0;
  };

  std::vector<Placements> make_placements() const;
  void measure_scratch();
  void upload(const StepBatch& batch, const LanePlan& plan, const StepScalars& scalars);
  void run_visits(const std::vector<Visit>& visits);
  ScheduleInput schedule_input(int64_t micro_batches) const;
  void prefetch_boundaries(const std::vector<Visit>& visits, size_t after);
  void run(const Visit& visit, const Lease& lease, const BoundaryUse& use);
  void sum_losses(const LanePlan& plan);
  void update();
  std::vector<int64_t> non_finite_slots(const StepBatch& batch);
  double* loss_slot(int64_t slot) const;

  const ModelSpec& spec_;
  TrainerOptions options_;
  DiskTier disk_;
  StoreContext context_;
  PartitionTable table_;
  std::vector<Placements> placements_;
  ParamStore params_;
  GradStore grads_;
  OptimizerStateStore states_;
  GradNorm norm_;
  std::vector<int> trained_units_;
  Buffer scalars_;  // StepScalars, Stats
  Buffer losses_;   // f64: one a slot, then lane sums of all ranks
  Buffer rope_;
  Arena scratch_;
  std::unique_ptr<Transformer> model_;
  std::unique_ptr<Activations> activations_;
  std::unique_ptr<StateShard> shard_;
  StepScalars host_scalars_;
  Activity* activity_ = nullptr;
  int64_t updates_ = 0;
  std::map<int64_t, std::vector<Visit>> train_schedules_;     // by M
  std::map<int64_t, std::vector<Visit>> evaluate_schedules_;  // by M
};

}  // namespace athanor

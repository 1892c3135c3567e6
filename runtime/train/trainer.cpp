#include "runtime/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "core/pairwise.h"
#include "core/settle.h"
#include "kernels/elementwise/elementwise.h"
#include "runtime/model/rope_tables.h"

namespace athanor {
namespace {

// A unit of a lease, as the model sees it.
class LeaseView final : public UnitView {
 public:
  LeaseView(const Lease& lease, const GradStore* grads, int use)
      : lease_(lease), grads_(grads), use_(use) {}
  ConstTensor tensor(int param) const override { return lease_.tensor(param); }
  LinearWeight weight(int param) const override { return lease_.weight(param); }
  Tensor grad(int param) const override {
    return grads_ == nullptr ? Tensor{} : grads_->grad(lease_.unit(), use_, param);
  }

 private:
  const Lease& lease_;
  const GradStore* grads_;
  int use_;
};

// Right shapes, no memory: for measuring scratch on a counting stream.
class ShapeView final : public UnitView {
 public:
  ShapeView(const UnitSpec& unit, DType dtype) : unit_(unit), dtype_(dtype) {}
  ConstTensor tensor(int param) const override { return fake(param, dtype_); }
  LinearWeight weight(int param) const override {
    LinearWeight weight;
    weight.plain = fake(param, dtype_);
    weight.dtype = dtype_;
    weight.out_features = weight.plain.dim(0);
    weight.in_features = weight.plain.dim(1);
    return weight;
  }
  Tensor grad(int param) const override {
    return unit_.params[static_cast<size_t>(param)].trainable ? fake(param, DType::kF32) : Tensor{};
  }

 private:
  Tensor fake(int param, DType dtype) const {
    return Tensor(const_cast<UnitSpec*>(&unit_), dtype,
                  unit_.params[static_cast<size_t>(param)].shape);
  }
  const UnitSpec& unit_;
  DType dtype_;
};

Section section_of(Pass pass) {
  switch (pass) {
    case Pass::kForward:
    case Pass::kLoss:
      return Section::kForward;
    case Pass::kRecompute:
    case Pass::kBackward:
      return Section::kBackward;
    case Pass::kEvaluate:
      return Section::kEvaluate;
  }
  return Section::kForward;
}

StoreContext with_disk(StoreContext context, DiskTier& disk) {
  context.disk = &disk;
  return context;
}

GradOptions grad_options(const TrainerOptions& options, const LanePlan& plan) {
  const int64_t micro_batches_a_reduction =
      options.reduce == ReduceMode::kMicroStep ? plan.lanes_per_rank() : plan.slots();
  return {plan.lane_buffers(),
          options.order == ScheduleOrder::kLayerMajor || micro_batches_a_reduction == 1,
          options.reduce};
}

}  // namespace

Trainer::Trainer(const ModelSpec& spec, const TrainerOptions& options, const StoreContext& context)
    : spec_(spec),
      options_(options),
      disk_(context.device, context.storage, options.disk_directory),
      context_(with_disk(context, disk_)),
      table_(spec.units, options.dtype, context.communicator.world_size()),
      placements_(make_placements()),
      params_(spec.units, table_, placements_, options.dtype, context_),
      grads_(spec.units, table_, placements_,
             grad_options(options, lane_plan(options.micro_batches)), context_),
      states_(spec.units, table_, placements_, params_, options.optimizer.moments(), context_),
      norm_(table_, placements_, context_),
      scalars_(context.device, sizeof(StepScalars) + sizeof(Stats)) {
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    if (table_.unit(unit).trainable_elements > 0) trained_units_.push_back(unit);
  }
  const LanePlan plan = lane_plan(options.micro_batches);
  const int world = context.communicator.world_size();
  losses_ = Buffer(context.device, (plan.slots() + int64_t{plan.lanes_per_rank()} * world) * 8);
  const Shape rope_shape = rope_tables_shape(spec.config, options.cutoff_len);
  rope_ = Buffer(context.device, rope_shape.numel() * 4);
  const Tensor rope_view = rope_.view(DType::kF32, rope_shape);
  fill_rope_tables(rope_view, spec.config, context.compute);
  measure_scratch();
  model_ = std::make_unique<Transformer>(spec, options.dtype, rope_view, scratch_,
                                         reinterpret_cast<StepScalars*>(scalars_.data()),
                                         context.compute);
  ActivationOptions activation;
  activation.tokens = options.rows * options.cutoff_len;
  activation.slots = plan.slots();
  activation.positions = static_cast<int64_t>(spec.chain.size());
  activation.blocks = spec.config.num_hidden_layers;
  activation.hidden_size = spec.config.hidden_size;
  activation.dtype = options.dtype;
  activation.layer_major = options.order == ScheduleOrder::kLayerMajor;
  activation.recompute = options.recompute;
  activation.boundaries_on_disk = options.disk.boundaries;
  activations_ =
      std::make_unique<Activations>(activation, *model_, context.device, &disk_, context.compute);
  shard_ =
      std::make_unique<StateShard>(spec.units, table_, states_, context_, options.checkpoint_copy);
}

Trainer::~Trainer() {
  if (context_.storage != nullptr) settle(*context_.storage);
  settle(context_.communication);  // a disk that has failed does not end a collective under way
}

std::vector<Placements> Trainer::make_placements() const {
  std::vector<Placements> placements;
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    placements.push_back(zero_placements(options_.zero_stage, table_.world_size(),
                                         table_.unit(unit).parameters, options_.persist_below,
                                         options_.disk));
  }
  return placements;
}

LanePlan Trainer::lane_plan(int64_t micro_batches) const {
  return {micro_batches, options_.lanes, context_.communicator.world_size()};
}

// Runs every unit once on shapes alone: the peak of a measuring arena is the scratch to reserve.
void Trainer::measure_scratch() {
  CountingStream stream;
  Arena measure;
  const int64_t tokens = options_.rows * options_.cutoff_len;
  Transformer model(spec_, options_.dtype,
                    rope_.view(DType::kF32, rope_tables_shape(spec_.config, options_.cutoff_len)),
                    measure, reinterpret_cast<StepScalars*>(scalars_.data()), stream);
  Arena unused;
  BlockActivations act = model.take_activations(unused, tokens, options_.recompute);
  const Tensor x = unused.take(options_.dtype, {tokens, spec_.config.hidden_size});
  const Tensor ints = unused.take(DType::kI32, {tokens});
  const Tensor cu = unused.take(DType::kI32, {tokens + 1});
  const MicroBatchView batch{ints, ints, cu, ints, ints, tokens, 0, 0};
  double loss = 0;
  if (spec_.first_backward == 0) {
    model.embed_backward(x, ShapeView(spec_.units[0], options_.dtype), batch);
  }
  for (size_t position = 1; position + 1 < spec_.chain.size(); ++position) {
    const ShapeView unit(spec_.units[position], options_.dtype);
    const int layer = static_cast<int>(position) - 1;
    model.block_forward(x, x, layer, unit, act, batch);
    model.block_backward(x, x, layer, unit, act, batch, true);
  }
  const auto head_unit = static_cast<size_t>(spec_.chain.back().unit);
  model.head(&loss, x, x, ShapeView(spec_.units[head_unit], options_.dtype), batch);
  scratch_ = Arena(context_.device, measure.peak());
}

void Trainer::load(ParamSource* source) {
  params_.place_on_disk(source, options_.frozen_in_place);
  disk_.open(source == nullptr);
  params_.load(source);
  states_.load(source);
}

ScheduleInput Trainer::schedule_input(int64_t micro_batches) const {
  ScheduleInput input;
  input.chain = spec_.chain;
  input.first_backward = spec_.first_backward;
  input.lanes = lane_plan(micro_batches);
  input.rank = context_.communicator.rank();
  input.order = options_.order;
  input.recompute = options_.recompute == Recomputation::kFull;
  input.reduce = options_.reduce;
  return input;
}

const std::vector<Visit>& Trainer::train_schedule(int64_t micro_batches) {
  auto [entry, fresh] = train_schedules_.try_emplace(micro_batches);
  if (fresh) entry->second = build_train_schedule(schedule_input(micro_batches));
  return entry->second;
}

double* Trainer::loss_slot(int64_t slot) const {
  return reinterpret_cast<double*>(losses_.data()) + slot;
}

void Trainer::upload(const StepBatch& batch, const LanePlan& plan, const StepScalars& scalars) {
  host_scalars_ = scalars;
  void* device = scalars_.data();
  const StepScalars* host = &host_scalars_;
  context_.compute.submit(Cost{"upload", 0, sizeof(StepScalars), sizeof(StepScalars)},
                          [=](ExecContext&) { std::memcpy(device, host, sizeof(StepScalars)); });
  fill_zero(losses_.view(DType::kI64, {losses_.bytes() / 8}), context_.compute);
  ATHANOR_CHECK(static_cast<int64_t>(batch.slots.size()) == plan.slots(),
                "the step's batch has another number of slots than its lanes");
  for (int64_t slot = 0; slot < plan.slots(); ++slot) {
    const int64_t index = plan.micro_batch(context_.communicator.rank(), slot);
    if (index == kAbsent) continue;
    activations_->upload(slot, batch.slots[static_cast<size_t>(slot)], index, context_.compute);
  }
}

// The loop that is training. Everything about memory and communication is in the stores.
void Trainer::run_visits(const std::vector<Visit>& visits) {
  Lease lease;
  for (size_t i = 0; i < visits.size(); ++i) {
    const Visit& visit = visits[i];
    enter(activity_, section_of(visit.pass));
    const bool trains = visit.pass == Pass::kLoss || visit.pass == Pass::kBackward;
    if (visit.lease_begins) {
      lease = params_.acquire(visit.unit);
      const auto next = std::find_if(visits.begin() + static_cast<int64_t>(i) + 1, visits.end(),
                                     [](const Visit& later) { return later.lease_begins; });
      if (next != visits.end()) params_.prefetch(next->unit);
    }
    if (trains) grads_.begin(visit);
    if (visit.micro_batch != kAbsent) {
      const int64_t tokens = activations_->batch(visit.slot).tokens;
      const BoundaryUse use = activations_->boundaries().begin(visit, tokens);
      prefetch_boundaries(visits, i);
      run(visit, lease, use);
      activations_->boundaries().end(visit, tokens);
    }
    if (trains) grads_.end(visit);
    if (visit.lease_ends) lease.release();
  }
}

// What the next visit with a micro-batch reads may be on disk.
void Trainer::prefetch_boundaries(const std::vector<Visit>& visits, size_t after) {
  for (size_t i = after + 1; i < visits.size(); ++i) {
    if (visits[i].micro_batch == kAbsent) continue;
    activations_->boundaries().prefetch(visits[i], activations_->batch(visits[i].slot).tokens);
    return;
  }
}

void Trainer::run(const Visit& visit, const Lease& lease, const BoundaryUse& use) {
  MicroBatchView batch = activations_->batch(visit.slot);
  batch.dropout = visit.pass != Pass::kEvaluate;
  const bool trains = visit.pass == Pass::kLoss || visit.pass == Pass::kBackward;
  const LeaseView unit(lease, trains ? &grads_ : nullptr, visit.use);
  const int64_t position = visit.position;
  const int layer = static_cast<int>(position) - 1;
  const bool head = position + 1 == static_cast<int64_t>(spec_.chain.size());
  if (position == 0) {
    if (visit.pass == Pass::kBackward) {
      model_->embed_backward(use.gradient, unit, batch);
    } else {
      model_->embed(use.output, unit, batch);
    }
  } else if (head) {
    model_->head(loss_slot(visit.slot), use.gradient, use.input, unit, batch);
  } else {
    BlockActivations act = activations_->block(layer, visit.slot);
    if (visit.pass == Pass::kBackward) {
      model_->block_backward(use.gradient, use.input, layer, unit, act, batch,
                             position > spec_.first_backward);
    } else {
      model_->block_forward(use.output, use.input, layer, unit, act, batch);
    }
  }
}

// stats.loss = sum over all ranks' lanes along the pairwise tree; a lane sums its slots in order.
void Trainer::sum_losses(const LanePlan& plan) {
  const int per_rank = plan.lanes_per_rank();
  const int64_t per_lane = plan.per_lane();
  const int present = plan.present_lanes();
  const double* slots = loss_slot(0);
  double* lanes = loss_slot(lane_plan(options_.micro_batches).slots());
  double* own = lanes + int64_t{context_.communicator.rank()} * per_rank;
  context_.compute.submit(Cost{"lane_losses"}, [=](ExecContext&) {
    for (int lane = 0; lane < per_rank; ++lane) {
      own[lane] = 0;
      for (int64_t i = 0; i < per_lane; ++i) own[lane] += slots[lane * per_lane + i];
    }
  });
  context_.communication.wait(context_.compute.record());
  context_.communicator.all_gather(lanes, own, int64_t{per_rank} * 8, context_.communication);
  context_.compute.wait(context_.communication.record());
  auto* stats = reinterpret_cast<Stats*>(scalars_.data() + sizeof(StepScalars));
  context_.compute.submit(Cost{"loss"}, [=](ExecContext&) {
    stats->loss = tree_reduce(
        0, present, [=](int64_t lane) { return lanes[lane]; },
        [](double a, double b) { return a + b; });
  });
}

void Trainer::update() {
  auto* scalars = reinterpret_cast<StepScalars*>(scalars_.data());
  for (size_t i = 0; i < trained_units_.size(); ++i) {
    const int unit = trained_units_[i];
    const Placements& placed = placements_[static_cast<size_t>(unit)];
    states_.acquire(unit);
    if (i + 1 < trained_units_.size()) states_.prefetch(trained_units_[i + 1]);
    params_.begin_update(unit);
    if (states_.owned_range(unit).size() > 0) {
      update_unit(options_.optimizer, spec_.units[static_cast<size_t>(unit)], table_.unit(unit),
                  unit, grads_, states_, scalars, context_.compute);
    }
    states_.release(unit, true);
    params_.publish(unit, placed.optimizer.sharded());
    enter(activity_, Section::kOptimizer);
  }
}

StepResult Trainer::train_step(const StepBatch& batch, int64_t step, double learning_rate) {
  ATHANOR_CHECK(batch.target_tokens > 0, "a step without target tokens");
  const LanePlan plan = lane_plan(batch.micro_batches);
  const AdamWOptions& adamw = options_.optimizer.adamw;
  StepScalars scalars;
  scalars.loss_scale = 1.0 / static_cast<double>(batch.target_tokens);
  scalars.learning_rate = learning_rate;
  scalars.bias_correction1 = 1.0 - std::pow(adamw.beta1, static_cast<double>(updates_ + 1));
  scalars.bias_correction2 = 1.0 - std::pow(adamw.beta2, static_cast<double>(updates_ + 1));
  scalars.seed = options_.seed;
  scalars.step = static_cast<uint64_t>(step);
  upload(batch, plan, scalars);

  run_visits(train_schedule(batch.micro_batches));

  enter(activity_, Section::kOptimizer);
  grads_.finish();
  auto* stats = reinterpret_cast<Stats*>(scalars_.data() + sizeof(StepScalars));
  norm_.compute(grads_, options_.max_grad_norm, &stats->grad_norm,
                reinterpret_cast<StepScalars*>(scalars_.data()));
  sum_losses(plan);
  StepResult result;
  const double nominal = std::log(static_cast<double>(spec_.config.vocab_size));
  result.loss = context_.compute.read_scalar(&stats->loss, nominal) * scalars.loss_scale;
  result.grad_norm = context_.compute.read_scalar(&stats->grad_norm, 1.0);
  result.skipped = !std::isfinite(result.loss) || !std::isfinite(result.grad_norm);
  if (result.skipped) {
    result.non_finite_slots = non_finite_slots(batch);
    return result;
  }
  update();
  ++updates_;
  return result;
}

std::vector<int64_t> Trainer::non_finite_slots(const StepBatch& batch) {
  std::vector<int64_t> slots;
  for (size_t slot = 0; slot < batch.slots.size(); ++slot) {
    if (batch.slots[slot].targets.empty()) continue;
    const double loss = context_.compute.read_scalar(loss_slot(static_cast<int64_t>(slot)), 0.0);
    if (!std::isfinite(loss)) slots.push_back(static_cast<int64_t>(slot));
  }
  return slots;
}

double Trainer::evaluate(const StepBatch& batch) {
  const LanePlan plan = lane_plan(batch.micro_batches);
  upload(batch, plan, StepScalars{});
  auto [entry, fresh] = evaluate_schedules_.try_emplace(batch.micro_batches);
  if (fresh) entry->second = build_evaluate_schedule(schedule_input(batch.micro_batches));
  run_visits(entry->second);
  sum_losses(plan);
  auto* stats = reinterpret_cast<Stats*>(scalars_.data() + sizeof(StepScalars));
  return context_.compute.read_scalar(&stats->loss, 0.0);
}

// Masters are gathered unit by unit; every rank sees all of them.
void Trainer::export_trained(WeightSink* sink) {
  const int world = table_.world_size();
  for (int unit = 0; unit < table_.num_units(); ++unit) {
    const UnitPartition& partition = table_.unit(unit);
    if (partition.trainable_elements == 0) continue;
    states_.acquire(unit);
    Tensor whole = states_.master(unit);
    Buffer gathered;
    if (placements_[static_cast<size_t>(unit)].optimizer.sharded()) {
      const int64_t shard = partition.trainable_shard_elements;
      gathered = Buffer(context_.device, world * shard * 4);
      const Tensor block = gathered.view(DType::kF32, {states_.owned_range(unit).size()},
                                         context_.communicator.rank() * shard * 4);
      copy(block, whole, context_.compute);
      whole = gathered.view(DType::kF32, {world * shard});
      context_.communication.wait(context_.compute.record());
      context_.communicator.all_gather(gathered.data(),
                                       gathered.data() + context_.communicator.rank() * shard * 4,
                                       shard * 4, context_.communication);
      context_.compute.wait(context_.communication.record());
    }
    context_.compute.synchronize();
    for (size_t i = 0; i < partition.params.size() && sink != nullptr; ++i) {
      if (!partition.params[i].trainable) continue;
      sink->write(spec_.units[static_cast<size_t>(unit)].params[i],
                  static_cast<const float*>(whole.raw()) + partition.params[i].offset);
    }
    states_.release(unit, false);
  }
}

}  // namespace athanor

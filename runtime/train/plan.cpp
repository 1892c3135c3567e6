#include "runtime/train/plan.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/config/option_names.h"
#include "runtime/train/figures.h"
#include "runtime/train/trainer.h"

namespace athanor {
namespace {

// One rank of the run without memory: the same objects in the same order as a run makes them.
struct DryRank {
  DryRank(const ResolvedRun& run, const PlanOptions& options, int rank)
      : memory(Tier::kDevice),
        pool_scratch(memory, options.threads * kThreadScratchBytes),
        communication_scratch(memory, kAlignment),
        storage_scratch(memory, kAlignment),
        communicator(
            make_counting_communicator(rank, options.world_size, memory, options.staging_bytes)),
        trainer(run.spec, run.trainer, {memory, compute, communication, *communicator, &storage}),
        batch(full_step_batch(run, trainer.lane_plan(run.batch.micro_batches), rank)) {
    trainer.load(nullptr);
  }

  void step(int64_t index) {
    compute.clear();
    communication.clear();
    storage.clear();
    communicator->clear_counts();
    trainer.train_step(batch, index, 0.0);
  }

  PlanAllocator memory;
  Buffer pool_scratch;
  Buffer communication_scratch;
  Buffer storage_scratch;
  CountingStream compute;
  CountingStream communication;
  CountingStream storage;
  std::unique_ptr<Communicator> communicator;
  Trainer trainer;
  StepBatch batch;
};

std::vector<int64_t> gathers_so_far(const ParamStore& params) {
  std::vector<int64_t> counts;
  for (size_t unit = 0; unit < params.frozen_gathers().size(); ++unit) {
    counts.push_back(std::max(params.frozen_gathers()[unit], params.trainable_gathers()[unit]));
  }
  return counts;
}

std::vector<std::pair<std::string, int64_t>> gathers_since(const std::vector<int64_t>& before,
                                                           const ParamStore& params,
                                                           const std::vector<UnitSpec>& units) {
  const std::vector<int64_t> now = gathers_so_far(params);
  std::vector<std::pair<std::string, int64_t>> gathers;
  for (size_t unit = 0; unit < units.size(); ++unit) {
    gathers.emplace_back(units[unit].name, now[unit] - before[unit]);
  }
  return gathers;
}

void fill_step(PlanResult& plan, DryRank& dry, const Machine& machine) {
  // The first step finds empty slots; the second is like all later ones.
  dry.step(0);
  const std::vector<int64_t> before = gathers_so_far(dry.trainer.params());
  dry.step(1);
  plan.operations = dry.compute.sums();
  plan.collectives = dry.communicator->counts();
  plan.copies = dry.storage.sums();
  plan.gathers_per_unit = gathers_since(before, dry.trainer.params(), plan.run.spec.units);
  plan.flops = dry.compute.total().flops;
  const double rate = machine.flops(plan.run.trainer.dtype);
  for (const auto& [name, cost] : plan.operations) {
    plan.compute_seconds += compute_floor(cost, rate, machine.memory_bandwidth);
  }
  double received = 0;
  for (const auto& [name, count] : plan.collectives) received += static_cast<double>(count.bytes);
  plan.communication_seconds = received / machine.network_bandwidth;
  plan.floor_seconds = std::max(plan.compute_seconds, plan.communication_seconds);
  if (machine.disk_bandwidth > 0) {
    double moved = 0;
    for (const auto& [name, sum] : plan.copies) moved += static_cast<double>(sum.bytes_read);
    plan.floor_seconds = std::max(plan.floor_seconds, moved / machine.disk_bandwidth);
  }
}

}  // namespace

StepBatch full_step_batch(const ResolvedRun& run, const LanePlan& plan, int rank) {
  StepBatch batch;
  batch.micro_batches = plan.micro_batches;
  batch.slots.resize(static_cast<size_t>(plan.slots()));
  const HostMicroBatch full = full_micro_batch(run.trainer.rows, run.trainer.cutoff_len);
  for (int64_t slot = 0; slot < plan.slots(); ++slot) {
    if (plan.micro_batch(rank, slot) == kAbsent) continue;
    batch.slots[static_cast<size_t>(slot)] = full;
  }
  batch.target_tokens = plan.micro_batches * full.data.target_tokens;
  return batch;
}

PlanResult make_plan(const RunConfig& config, const PlanOptions& options, const Machine& machine) {
  PlanResult plan;
  plan.run = resolve_run(config, options.world_size);
  // Shards are equal and the first ranks have the fullest lanes: rank 0 is the largest.
  const int count = options.all_ranks ? options.world_size : 1;
  for (int rank = 0; rank < count; ++rank) {
    DryRank dry(plan.run, options, rank);
    RankPlan memory{rank, 0, dry.memory.stats().current_bytes, dry.trainer.disk().reserved_bytes()};
    if (rank == 0) {
      fill_step(plan, dry, machine);
    } else {
      dry.step(0);
    }
    dry.trainer.export_trained(nullptr);
    memory.peak_bytes = dry.memory.stats().peak_bytes;
    plan.ranks.push_back(memory);
  }
  plan.ranks_per_host = machine.ranks_per_host > 0
                            ? std::min(machine.ranks_per_host, options.world_size)
                            : options.world_size;
  plan.budget_bytes = config.memory_budget.value_or(machine.memory_bytes);
  plan.budget_from = config.memory_budget ? "memory_budget" : machine.memory_limited_by;
  plan.fits = plan.host_peak_bytes() <= plan.budget_bytes;
  return plan;
}

std::string plan_json(const PlanResult& plan) {
  nlohmann::ordered_json json;
  json["world"] = plan.run.world_size;
  json["zero_stage"] = plan.run.trainer.zero_stage;
  json["schedule"] = option_name(plan.run.config.zero.schedule);
  json["fits"] = plan.fits;
  json["ranks"] = nlohmann::ordered_json::array();
  for (const RankPlan& rank : plan.ranks) {
    json["ranks"].push_back(
        {{"rank", rank.rank},
         {"tiers",
          {{"device",
            {{"peak_bytes", rank.peak_bytes}, {"persistent_bytes", rank.persistent_bytes}}},
           {"host", {{"peak_bytes", 0}, {"persistent_bytes", 0}}},
           {"disk", {{"peak_bytes", rank.disk_bytes}, {"persistent_bytes", rank.disk_bytes}}}}}});
  }
  nlohmann::ordered_json step;
  step["flops"] = plan.flops;
  step["floor_seconds"] = plan.floor_seconds;
  step["collectives"] = nlohmann::ordered_json::object();
  for (const auto& [name, count] : plan.collectives) {
    step["collectives"][name] = {{"count", count.count}, {"bytes", count.bytes}};
  }
  step["copies"] = nlohmann::ordered_json::object();
  for (const auto& [name, sum] : plan.copies) {
    step["copies"][name] = {{"count", sum.count}, {"bytes", sum.bytes_read}};
  }
  step["gathers_per_unit"] = nlohmann::ordered_json::object();
  for (const auto& [unit, count] : plan.gathers_per_unit) step["gathers_per_unit"][unit] = count;
  json["step"] = std::move(step);
  return json.dump(2) + "\n";
}

std::string plan_table(const PlanResult& plan, const Machine& machine) {
  const ResolvedRun& run = plan.run;
  std::string text;
  const auto line = [&text](const std::string& name, const std::string& value) {
    text += name + std::string(name.size() < 24 ? 24 - name.size() : 1, ' ') + value + "\n";
  };
  line("parameters", human(static_cast<double>(run.spec.parameters()), "") + ", trained " +
                         human(static_cast<double>(run.spec.trainable_parameters()), ""));
  line("world", std::to_string(run.world_size) + " ranks, " + std::to_string(plan.ranks_per_host) +
                    " a host, ZeRO stage " + std::to_string(run.trainer.zero_stage) + ", " +
                    option_name(run.config.zero.schedule) + ", recomputation " +
                    option_name(run.config.gradient_checkpointing));
  line("step", std::to_string(run.batch.rows_per_step) + " rows in " +
                   std::to_string(run.batch.micro_batches) + " micro-batches, " +
                   std::to_string(run.batch.lanes) + " lanes");
  for (const RankPlan& rank : plan.ranks) {
    line("rank " + std::to_string(rank.rank) + " device",
         binary_bytes(rank.peak_bytes) + " peak, " + binary_bytes(rank.persistent_bytes) +
             " between steps");
    if (rank.disk_bytes > 0) {
      line("rank " + std::to_string(rank.rank) + " disk", binary_bytes(rank.disk_bytes));
    }
  }
  line("budget of a host", binary_bytes(plan.budget_bytes) + " (" + plan.budget_from + ") on " +
                               machine.name + (plan.fits ? ": fits" : ": DOES NOT FIT"));
  line("compute", human(plan.flops, "FLOP") + " a rank and step, at least " +
                      human(plan.compute_seconds, "s"));
  for (const auto& [name, count] : plan.collectives) {
    line(name, std::to_string(count.count) + " a step, " +
                   human(static_cast<double>(count.bytes), "B") + " received");
  }
  for (const auto& [name, sum] : plan.copies) {
    line(name,
         std::to_string(sum.count) + " a step, " + human(static_cast<double>(sum.bytes_read), "B"));
  }
  line("communication", "at least " + human(plan.communication_seconds, "s"));
  line("floor of a step", human(plan.floor_seconds, "s"));
  return text;
}

}  // namespace athanor

// Plan = run: what the dry run says of memory and collectives is what ranks really allocate and
// exchange, byte for byte; and a running step allocates nothing.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <tuple>
#include <vector>

#include "runtime/train/plan.h"
#include "runtime/train/run.h"
#include "runtime/train/trainer.h"
#include "tests/sharding/thread_ranks.h"
#include "tests/support/temp_folder.h"
#include "tests/train/allocation_count.h"
#include "tests/train/golden.h"
#include "tests/train/train_support.h"

namespace athanor::testing {
namespace {

// Five micro-batches: with two ranks 3 + 2, with three 2 + 2 + 1.
RunConfig small_config(const Golden& golden, const std::string& kind, int stage, bool layer_major) {
  RunConfig config = golden.config(kind);
  config.cutoff_len = 16;
  config.global_batch_size = 10;
  config.save_in_background = BackgroundOption::kOn;  // the copy of the state is planned, too
  config.zero.stage = stage;
  config.zero.schedule = layer_major ? ScheduleOption::kLayerMajor : ScheduleOption::kBatchMajor;
  return config;
}

std::vector<int64_t> gathers(const ParamStore& params) {
  std::vector<int64_t> counts;
  for (size_t unit = 0; unit < params.frozen_gathers().size(); ++unit) {
    counts.push_back(std::max(params.frozen_gathers()[unit], params.trainable_gathers()[unit]));
  }
  return counts;
}

// Frozen bytes survive the end of a step in their slot; trained ones are gathered anew, as if the
// slots were empty.
void expect_gathers_of_visit_list(const ResolvedRun& run, Trainer& trainer,
                                  const std::vector<int64_t>& frozen,
                                  const std::vector<int64_t>& trainable) {
  std::vector<bool> slotted;
  for (int unit = 0; unit < trainer.partition().num_units(); ++unit) {
    slotted.push_back(trainer.params().slotted(unit));
  }
  std::vector<Visit> visits = trainer.train_schedule(run.batch.micro_batches);
  const std::vector<int64_t> one_step = gathers_per_unit(visits, slotted, ParamStore::kSlots);
  const std::vector<Visit> again = visits;
  visits.insert(visits.end(), again.begin(), again.end());
  const std::vector<int64_t> two_steps = gathers_per_unit(visits, slotted, ParamStore::kSlots);
  for (size_t unit = 0; unit < slotted.size(); ++unit) {
    const UnitPartition& partition = trainer.partition().unit(static_cast<int>(unit));
    const std::string& name = run.spec.units[unit].name;
    EXPECT_EQ(frozen[unit], partition.frozen_bytes > 0 ? two_steps[unit] : 0) << name;
    EXPECT_EQ(trainable[unit], partition.trainable_elements > 0 ? 2 * one_step[unit] : 0) << name;
  }
}

void expect_transfers(const PlanResult& plan, const char* name, const TransferCount& before,
                      const TransferCount& after) {
  const auto found = plan.copies.find(name);
  const CostSum planned = found == plan.copies.end() ? CostSum{} : found->second;
  EXPECT_EQ(after.count - before.count, planned.count) << name;
  EXPECT_EQ(after.bytes - before.bytes, planned.bytes_read) << name;
}

void expect_plan_is_run(const RunConfig& config, int world) {
  const PlanResult plan = plan_of(config, world);
  const ResolvedRun run = resolve_run(config, world);
  run_ranks(world, [&](TestRank& self) {
    Trainer trainer(run.spec, run.trainer, self.context());
    RunWeights weights(run);
    trainer.load(&weights.source());
    const RankPlan& planned = plan.ranks[static_cast<size_t>(self.rank())];
    EXPECT_EQ(self.memory.stats().current_bytes, planned.persistent_bytes);

    const StepBatch batch = full_step(run, trainer.lane_plan(run.batch.micro_batches), self.rank());
    trainer.train_step(batch, 0, 1e-4);
    const std::vector<int64_t> before = gathers(trainer.params());
    self.communicator->clear_counts();
    const TransferCount reads = trainer.disk().reads();
    const TransferCount writes = trainer.disk().writes();
    trainer.train_step(batch, 1, 1e-4);
    const std::map<std::string, CollectiveCount> counts = self.communicator->counts();
    EXPECT_EQ(self.memory.stats().current_bytes, planned.persistent_bytes);

    if (self.rank() == 0) {  // the rank whose collectives and gathers a plan shows
      EXPECT_EQ(counts.size(), plan.collectives.size());
      for (const auto& [name, count] : plan.collectives) {
        ASSERT_TRUE(counts.contains(name)) << name;
        EXPECT_EQ(counts.at(name).count, count.count) << name;
        EXPECT_EQ(counts.at(name).bytes, count.bytes) << name;
      }
      expect_transfers(plan, "disk_read", reads, trainer.disk().reads());
      expect_transfers(plan, "disk_write", writes, trainer.disk().writes());
      const std::vector<int64_t> after = gathers(trainer.params());
      for (size_t unit = 0; unit < after.size(); ++unit) {
        EXPECT_EQ(after[unit] - before[unit], plan.gathers_per_unit[unit].second)
            << plan.gathers_per_unit[unit].first;
      }
    }
    expect_gathers_of_visit_list(run, trainer, trainer.params().frozen_gathers(),
                                 trainer.params().trainable_gathers());
    CollectedWeights sink;
    trainer.export_trained(&sink);
    EXPECT_EQ(trainer.disk().reserved_bytes(), planned.disk_bytes);
    EXPECT_EQ(self.memory.stats().peak_bytes, planned.peak_bytes);
    EXPECT_EQ(self.memory.stats().current_bytes, planned.persistent_bytes);
  });
}

std::string describe(const RunConfig& config, int world) {
  return "world " + std::to_string(world) + ", stage " + std::to_string(config.zero.stage) +
         (config.zero.schedule == ScheduleOption::kLayerMajor ? ", layer_major" : ", batch_major") +
         (config.gradient_checkpointing == CheckpointingOption::kFull ? ", recompute" : "") +
         (config.gradient_checkpointing == CheckpointingOption::kSelective ? ", selective" : "") +
         (config.numerics.reduce == ReduceOption::kMicroStep ? ", micro_step" : "") +
         (config.zero.offload_param == OffloadOption::kNvme ? ", parameters on disk" : "") +
         (config.zero.offload_optimizer == OffloadOption::kNvme ? ", optimizer on disk" : "") +
         (config.zero.offload_activations == OffloadOption::kNvme ? ", boundaries on disk" : "") +
         (config.bf16 ? ", bf16" : ", f32") +
         (config.numerics.lanes ? ", lanes " + std::to_string(*config.numerics.lanes) : "");
}

class PlanIsRun : public ::testing::TestWithParam<std::tuple<const char*, const char*, int>> {};

TEST_P(PlanIsRun, InBytesCollectivesAndGathers) {
  const auto [model, kind, world] = GetParam();
  const Golden golden(model);
  for (const int stage : {0, 1, 2, 3}) {
    for (const bool layer_major : {false, true}) {
      for (const bool recompute : {false, true}) {
        for (const bool bf16 : {false, true}) {
          RunConfig config = small_config(golden, kind, stage, layer_major);
          config.bf16 = bf16;
          config.gradient_checkpointing =
              recompute ? CheckpointingOption::kFull : CheckpointingOption::kNone;
          SCOPED_TRACE(describe(config, world));
          expect_plan_is_run(config, world);
        }
      }
    }
  }
}

TEST_P(PlanIsRun, WithStatesOnDiskSelectiveRecomputationAndMicroSteps) {
  const auto [model, kind, world] = GetParam();
  const Golden golden(model);
  const TempFolder folder;
  for (const int stage : {0, 2, 3}) {
    for (const bool layer_major : {false, true}) {
      for (int disk = 0; disk < 8; ++disk) {
        RunConfig config = small_config(golden, kind, stage, layer_major);
        const auto place = [disk](int bit) {
          return (disk & bit) != 0 ? OffloadOption::kNvme : OffloadOption::kNone;
        };
        config.zero.offload_param = place(1);
        config.zero.offload_optimizer = place(2);
        config.zero.offload_activations = place(4);
        config.zero.nvme_path = folder.path();
        config.bf16 = (disk & 1) != 0 && stage == 3;
        config.gradient_checkpointing = CheckpointingOption::kSelective;
        if (stage == 2) config.numerics.reduce = ReduceOption::kMicroStep;
        SCOPED_TRACE(describe(config, world));
        expect_plan_is_run(config, world);
      }
    }
  }
}

TEST_P(PlanIsRun, WithMoreLanesThanRanksAndRanksWithoutWork) {
  const auto [model, kind, world] = GetParam();
  const Golden golden(model);
  for (const int stage : {1, 3}) {
    for (const bool layer_major : {false, true}) {
      RunConfig config = small_config(golden, kind, stage, layer_major);
      config.numerics.lanes = 4;
      {
        SCOPED_TRACE(describe(config, world));
        expect_plan_is_run(config, world);
      }
      config.global_batch_size = 2;  // one micro-batch
      SCOPED_TRACE(describe(config, world) + ", one micro-batch");
      expect_plan_is_run(config, world);
    }
  }
}

TEST_P(PlanIsRun, WithSmallUnitsReplicated) {
  const auto [model, kind, world] = GetParam();
  const Golden golden(model);
  RunConfig config = small_config(golden, kind, 3, false);
  config.zero.persist_below = 7000;  // embedding and head stay, blocks are sharded
  SCOPED_TRACE(describe(config, world));
  expect_plan_is_run(config, world);
}

INSTANTIATE_TEST_SUITE_P(Configurations, PlanIsRun,
                         ::testing::Combine(::testing::Values("llama_tied", "llama_untied"),
                                            ::testing::Values("lora", "full"),
                                            ::testing::Values(1, 2, 3)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" +
                                  std::get<1>(info.param) + "_" +
                                  std::to_string(std::get<2>(info.param));
                         });

// Everything that `athanor train` does to a rank's memory, data and saving included.
TEST(Plan, PeakIsThatOfAWholeRun) {
  const Golden golden("llama_untied");
  const TempFolder folder;
  RunConfig config = small_config(golden, "lora", 3, false);
  config.cutoff_len = 24;
  config.dataset = {(golden.folder / "data.jsonl").string()};
  config.dataset_dir = golden.folder;
  config.val_size = 4;
  config.eval_steps = 1;
  config.max_steps = 2;
  config.output_dir = folder.path() / "out";
  const PlanResult plan = plan_of(config, 2);
  const ResolvedRun run = resolve_run(config, 2);
  const RunData data = load_run_data(run);
  const std::atomic<int> stop{0};
  ThreadGroup group(2);
  std::vector<RunOutcome> outcomes(2);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      HostAllocator memory(Tier::kDevice);
      CpuDevice device(memory, 1);
      const auto communicator = make_thread_communicator(group, rank);
      outcomes[static_cast<size_t>(rank)] =
          run_training(run, data, *communicator, device, memory, stop);
    });
  }
  for (std::thread& rank : ranks) rank.join();
  for (size_t rank = 0; rank < 2; ++rank) {
    EXPECT_EQ(outcomes[rank].steps, 2);
    EXPECT_EQ(outcomes[rank].device.peak_bytes, plan.ranks[rank].peak_bytes);
  }
}

// Full fine-tuning of llama_untied (C 40, H = K = 5, D 8, F 52, V 97, two blocks) on one rank,
// float32, one micro-batch of one row of 16 tokens. Every buffer is rounded up to 256 bytes.
TEST(Plan, PeakWorkedByHand) {
  const Golden golden("llama_untied");
  RunConfig config = golden.config("full");
  config.per_device_train_batch_size = 1;
  config.global_batch_size = 1;
  config.cutoff_len = 16;

  // Elements, each parameter at a multiple of 128, each unit rounded up to 1,024:
  //   embedding 97*40 = 3880
  //   block     norms at 0 and 128, q 256, k 1920, v 3584, o 5248 (1600 each), gate 6912, up 9088,
  //             down 11264 (2080 each), end 13344
  //   head      norm at 0, lm_head at 128, end 4008
  constexpr int64_t kElements = 4096 + 2 * 14336 + 4096;
  constexpr int64_t kWeights = kElements * 4 + 4 * 256;  // and an empty frozen part for each unit
  constexpr int64_t kGradients = kElements * 4;
  constexpr int64_t kMoments = 2 * kElements * 4;
  // Block sums (14 float64), subtree roots (4 float64), scalars, losses; rope 16*8*4.
  constexpr int64_t kSmall = 256 + 256 + 256 + 256 + 512;

  constexpr int64_t kChain = 16 * 40 * 4;                       // [N, C], [N, H*D] or [N, K*D]
  constexpr int64_t kInner = 16 * 52 * 4;                       // [N, F]
  constexpr int64_t kRow = 256;                                 // [N] f32 or i32
  constexpr int64_t kLse = 512;                                 // [H, N] f32 = 320
  constexpr int64_t kBatch = 5 * kRow;                          // ids, positions, targets, rows, cu
  constexpr int64_t kBlock = kChain + kRow + 4 * kChain + kLse  // norm1, rstd1, q k v o, lse
                             + 2 * kChain + kRow + 3 * kInner;  // mid, norm2, rstd2, gate up act
  constexpr int64_t kActivations = kBatch + 3 * kChain + kChain + 2 * kBlock;
  // Scratch: the head's is the largest. xt, normed, rstd, losses, dnormed, and logits [16, 97].
  constexpr int64_t kScratch = 2 * kChain + 2 * kRow + kChain + 6400;

  // Threads: 4 MiB for the one that computes, 256 bytes each for those that communicate and store.
  constexpr int64_t kThreads = (int64_t{4} << 20) + 2 * 256;
  constexpr int64_t kTotal =
      kThreads + kWeights + kGradients + kMoments + kSmall + kActivations + kScratch;

  const PlanResult plan = plan_of(config, 1);
  EXPECT_EQ(plan.ranks[0].persistent_bytes, kTotal);
  EXPECT_EQ(plan.ranks[0].peak_bytes, kTotal);  // nothing is staged, nothing gathered to export
}

// From the third step on, at fixed shapes, neither a Buffer nor operator new.
TEST(TrainStep, AllocatesNothingOnceItRuns) {
  for (const char* model : {"llama_tied", "llama_untied"}) {
    const Golden golden(model);
    for (const char* kind : {"lora", "full"}) {
      for (const int world : {1, 2}) {
        for (const int stage : {0, 2, 3}) {
          for (const bool layer_major : {false, true}) {
            RunConfig config = small_config(golden, kind, stage, layer_major);
            config.bf16 = stage == 2;
            config.numerics.lanes = 4;
            SCOPED_TRACE(std::string(model) + ", " + kind + ", " + describe(config, world));
            const ResolvedRun run = resolve_run(config, world);
            run_ranks(world, [&](TestRank& self) {
              Trainer trainer(run.spec, run.trainer, self.context());
              RunWeights weights(run);
              trainer.load(&weights.source());
              const StepBatch batch =
                  full_step(run, trainer.lane_plan(run.batch.micro_batches), self.rank());
              for (int64_t step = 0; step < 2; ++step) trainer.train_step(batch, step, 1e-4);
              const int64_t buffers = self.memory.stats().allocations;
              const int64_t news = allocations_of_this_thread();
              for (int64_t step = 2; step < 5; ++step) trainer.train_step(batch, step, 1e-4);
              EXPECT_EQ(allocations_of_this_thread() - news, 0);
              EXPECT_EQ(self.memory.stats().allocations - buffers, 0);
            });
          }
        }
      }
    }
  }
}

TEST(TrainStep, AllocationCounterCounts) {
  const int64_t before = allocations_of_this_thread();
  const std::vector<int> some(100);
  EXPECT_EQ(allocations_of_this_thread() - before, 1) << some.size();
}

}  // namespace
}  // namespace athanor::testing

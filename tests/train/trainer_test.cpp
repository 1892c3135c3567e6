// Trainer: evaluation beside training, failure, and leaving in the middle of things.
#include "runtime/train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cpu/isa.h"
#include "tests/sharding/thread_ranks.h"
#include "tests/support/temp_folder.h"
#include "tests/train/golden.h"
#include "tests/train/train_support.h"

namespace athanor::testing {
namespace {

template <class Body>
void with_trainer(const ResolvedRun& run, const Body& body) {
  run_ranks(run.world_size, [&](TestRank& self) {
    Trainer trainer(run.spec, run.trainer, self.context());
    RunWeights weights(run);
    trainer.load(&weights.source());
    body(trainer, self);
  });
}

TEST(Trainer, EvaluationIsTheLossOfTrainingToTheBit) {
  for (const char* model : {"llama_tied", "llama_untied"}) {
    const Golden golden(model);
    for (const char* kind : {"lora", "full"}) {
      for (const int world : {1, 2}) {
        for (const bool layer_major : {false, true}) {
          RunConfig config = golden.config(kind);
          config.zero.stage = 3;
          config.zero.schedule =
              layer_major ? ScheduleOption::kLayerMajor : ScheduleOption::kBatchMajor;
          with_trainer(resolve_run(config, world), [&](Trainer& trainer, TestRank& self) {
            const StepBatch batch = golden.step_batch(3, trainer.lane_plan(2), self.rank());
            const double before = trainer.evaluate(batch);
            const StepResult trained = trainer.train_step(batch, 0, 0.0);
            const double after = trainer.evaluate(batch);
            EXPECT_EQ(trained.loss, before * (1.0 / static_cast<double>(batch.target_tokens)));
            EXPECT_EQ(after, before);  // the rate was 0
          });
        }
      }
    }
  }
}

TEST(Trainer, EvaluationHasNoDropout) {
  const Golden golden("llama_tied");
  RunConfig config = golden.config("lora");
  std::vector<double> evaluated;
  std::vector<double> trained;
  for (const double dropout : {0.0, 0.5}) {
    config.lora_dropout = dropout;
    with_trainer(resolve_run(config, 1), [&](Trainer& trainer, TestRank&) {
      const StepBatch batch = golden.step_batch(0, trainer.lane_plan(2), 0);
      evaluated.push_back(trainer.evaluate(batch));
      trained.push_back(trainer.train_step(batch, 0, 0.0).loss);
    });
  }
  EXPECT_EQ(evaluated[0], evaluated[1]);
  EXPECT_NE(trained[0], trained[1]);
}

// Every level of vector instructions that this machine has, down to plain loops.
TEST(Trainer, Float32BitsDoNotDependOnVectorInstructions) {
  const Golden golden("llama_tied");
  const ResolvedRun run = resolve_run(golden.config("full"), 1);
  std::map<std::string, std::vector<float>> expected;
  for (const CpuIsa isa : {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512, detect_cpu_isa()}) {
    limit_cpu_isa(isa);
    with_trainer(run, [&](Trainer& trainer, TestRank&) {
      for (size_t step = 0; step < 3; ++step) {
        trainer.train_step(golden.step_batch(step, trainer.lane_plan(2), 0),
                           static_cast<int64_t>(step), 5e-4);
      }
      CollectedWeights trained;
      trainer.export_trained(&trained);
      if (expected.empty()) expected = trained.weights;
      EXPECT_TRUE(trained.weights == expected) << cpu_isa_name(active_cpu_isa());
    });
  }
  limit_cpu_isa(detect_cpu_isa());
}

TEST(Trainer, StepsWithFewerMicroBatchesThanPlannedWork) {
  const Golden golden("llama_untied");
  RunConfig config = golden.config("lora");
  config.global_batch_size = 12;  // room for six micro-batches, two come
  std::vector<double> losses;
  for (const int world : {1, 3}) {
    for (const bool layer_major : {false, true}) {
      config.zero.stage = 3;
      config.zero.schedule =
          layer_major ? ScheduleOption::kLayerMajor : ScheduleOption::kBatchMajor;
      with_trainer(resolve_run(config, world), [&](Trainer& trainer, TestRank& self) {
        const StepBatch batch = golden.step_batch(0, trainer.lane_plan(2), self.rank());
        const StepResult result = trainer.train_step(batch, 0, 0.0);
        if (self.rank() == 0) losses.push_back(result.loss);
      });
    }
  }
  const double want = golden.expected.at("lora").at("losses64").at(0);
  for (const double loss : losses) EXPECT_NEAR(loss / want, 1.0, 1e-5);
}

// A frozen embedding in which one token has NaN.
struct PoisonedToken final : ParamSource {
  PoisonedToken(ParamSource& from, int32_t id) : source(from), token(id) {}
  void read(const ParamSpec& param, int64_t begin, int64_t count, DType dtype, void* dst) override {
    source.read(param, begin, count, dtype, dst);
    if (param.name != "model.embed_tokens.weight") return;
    const int64_t at = token * param.shape[1];
    if (begin <= at && at < begin + count) {
      static_cast<float*>(dst)[at - begin] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  ParamSource& source;
  int32_t token;
};

// Numbers that are not finite: every rank skips the step, the micro-batch to blame is known, and
// training goes on as if the step had not been.
TEST(Trainer, SkipsAStepThatIsNotFiniteOnEveryRankAndLosesNothing) {
  const Golden golden("llama_untied");
  constexpr int32_t kPoison = 0;
  for (const int world : {1, 2}) {
    for (const OffloadOption offload : {OffloadOption::kNone, OffloadOption::kNvme}) {
      TempFolder folder;
      RunConfig config = golden.config("lora");
      config.zero.stage = 3;
      config.zero.offload_optimizer = offload;
      config.zero.nvme_path = folder.path();
      const ResolvedRun run = resolve_run(config, world);
      std::vector<std::map<std::string, std::vector<float>>> ends(2);
      for (const bool straight : {false, true}) {
        run_ranks(world, [&](TestRank& self) {
          Trainer trainer(run.spec, run.trainer, self.context());
          RunWeights weights(run);
          PoisonedToken source(weights.source(), kPoison);
          trainer.load(&source);
          int64_t updates = 0;
          for (size_t step = 0; step < 4; ++step) {
            if (straight && step == 1) continue;
            const LanePlan plan = trainer.lane_plan(2);
            StepBatch batch = golden.step_batch(step, plan, self.rank());
            for (int64_t slot = 0; slot < plan.slots(); ++slot) {
              std::vector<int32_t>& ids = batch.slots[static_cast<size_t>(slot)].data.input_ids;
              std::ranges::replace(ids, kPoison, 1);
              if (step == 1 && plan.micro_batch(self.rank(), slot) == 1) ids[0] = kPoison;
            }
            const StepResult result = trainer.train_step(batch, static_cast<int64_t>(step), 1e-3);
            EXPECT_EQ(result.skipped, step == 1) << world << " ranks, step " << step;
            for (const int64_t slot : result.non_finite_slots) {
              EXPECT_EQ(plan.micro_batch(self.rank(), slot), 1);
            }
            const bool to_blame = step == 1 && self.rank() == world - 1;
            EXPECT_EQ(result.non_finite_slots.size(), to_blame ? 1U : 0U);
            if (!result.skipped) ++updates;
            EXPECT_EQ(trainer.updates(), updates);
          }
          CollectedWeights trained;
          trainer.export_trained(&trained);
          if (self.rank() == 0) ends[straight ? 1 : 0] = trained.weights;
        });
      }
      EXPECT_FALSE(ends[0].empty());
      EXPECT_TRUE(ends[0] == ends[1]) << world << " ranks";
    }
  }
}

// The last all_gathers of a step are still under way when train_step returns; a trainer that goes
// away then must not take their memory with it.
TEST(Trainer, MayGoRightAfterAStep) {
  const Golden golden("llama_tied");
  for (const int stage : {1, 2, 3}) {
    RunConfig config = golden.config("full");
    config.zero.stage = stage;
    const ResolvedRun run = resolve_run(config, 3);
    for (int round = 0; round < 10; ++round) {
      with_trainer(run, [&](Trainer& trainer, TestRank& self) {
        trainer.train_step(golden.step_batch(0, trainer.lane_plan(2), self.rank()), 0, 1e-4);
      });
    }
  }
}

// As a storage stream is after an error of its disk.
struct FailedStream final : Stream {
  Event record() override { return {}; }
  void wait(const Event&) override {}
  void synchronize() override { throw Error(ErrorKind::kIo, "the disk is gone"); }
  void wait_for(uint64_t) override { synchronize(); }
  double read_scalar(const double* value, double) override { return *value; }
  void enqueue(const Cost&, Call, void*, size_t) override {}
};

TEST(Trainer, WaitsForCollectivesAlsoAfterAnErrorOfTheDisk) {
  const ResolvedRun run = resolve_run(Golden("llama_tied").config("lora"), 1);
  run_ranks(1, [&](TestRank& self) {
    FailedStream storage;
    std::atomic<bool> done = false;
    {
      StoreContext context = self.context();
      context.storage = &storage;
      const Trainer trainer(run.spec, run.trainer, context);
      self.communication.submit(Cost{"collective"}, [flag = &done](ExecContext&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        flag->store(true);
      });
    }
    EXPECT_TRUE(done.load());
  });
}

}  // namespace
}  // namespace athanor::testing

// The plan against the kernel's view: resident memory of a process that trains.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "runtime/train/trainer.h"
#include "tests/sharding/thread_ranks.h"
#include "tests/train/train_support.h"

namespace athanor::testing {
namespace {

// What a process needs besides planned bytes: stacks, the stream's ring, host batches, code pages
// touched for the first time. 2 MiB were measured; the rest is room for other C libraries.
constexpr int64_t kLibraryBytes = int64_t{8} << 20;

// Peak resident set of this process, in bytes; 0 where the kernel does not tell.
int64_t peak_resident() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  }
  return 0;
}

// Small numbers, quickly.
class PatternSource final : public ParamSource {
 public:
  void read(const ParamSpec& param, int64_t begin, int64_t count, DType, void* dst) override {
    for (int64_t i = 0; i < count; ++i) {
      const auto mixed = static_cast<float>((begin + i) * 2654435761LL % 2001 - 1000);
      static_cast<float*>(dst)[i] = param.kind == ParamKind::kVector ? 1.0f : mixed * 3e-5f;
    }
  }
};

// In a child of its own, whose peak starts at what it has now: growth of the peak over two steps.
int64_t resident_growth(const ResolvedRun& run) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    int64_t growth = -1;
    try {
      const int64_t before = peak_resident();
      run_ranks(1, [&](TestRank& self) {
        Trainer trainer(run.spec, run.trainer, self.context());
        PatternSource source;
        trainer.load(&source);
        const StepBatch batch = full_step(run, trainer.lane_plan(run.batch.micro_batches), 0);
        for (int64_t step = 0; step < 2; ++step) trainer.train_step(batch, step, 1e-4);
      });
      growth = peak_resident() - before;
    } catch (const std::exception&) {
    }
    const bool told = write(pipe_ends[1], &growth, sizeof growth) == sizeof growth;
    _exit(told ? 0 : 1);
  }
  close(pipe_ends[1]);
  int64_t growth = -1;
  if (read(pipe_ends[0], &growth, sizeof growth) != sizeof growth) growth = -1;
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return growth;
}

class Resident : public ::testing::TestWithParam<bool> {};

TEST_P(Resident, MemoryIsThePlansWithinATenth) {
  if (std::string(ATHANOR_TEST_SANITIZER) != "") {
    GTEST_SKIP() << "built with -fsanitize=" << ATHANOR_TEST_SANITIZER
                 << ": resident memory is the sanitizer's";
  }
  if (peak_resident() == 0) GTEST_SKIP() << "/proc/self/status has no VmHWM here";
  const bool full = GetParam();
  const TempFolder folder;
  ModelSizes sizes;
  sizes.vocab = 4096;
  sizes.hidden = 384;
  sizes.intermediate = 1024;
  sizes.layers = full ? 3 : 8;
  sizes.heads = 6;
  write_model_config(folder.path(), sizes);
  RunConfig config;
  config.model_name_or_path = folder.path();
  config.train_from_scratch = true;
  config.finetuning_type = full ? FinetuningOption::kFull : FinetuningOption::kLora;
  config.cutoff_len = 256;
  config.threads = 1;
  resolve_auto(config);
  const int64_t planned = plan_of(config, 1).ranks[0].peak_bytes;
  EXPECT_GT(planned, int64_t{100} << 20);
  EXPECT_LT(planned, int64_t{200} << 20);
  const int64_t growth = resident_growth(resolve_run(config, 1));
  RecordProperty("planned_mib", static_cast<int>(planned >> 20));
  RecordProperty("resident_mib", static_cast<int>(growth >> 20));
  std::printf("planned %.1f MiB, resident %.1f MiB\n", static_cast<double>(planned) / (1 << 20),
              static_cast<double>(growth) / (1 << 20));
  EXPECT_LE(growth, planned + planned / 10 + kLibraryBytes);
  // And the plan is not padded: what it counts is used.
  EXPECT_GE(growth, planned - planned / 10);
}

INSTANTIATE_TEST_SUITE_P(Kinds, Resident, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "full" : "lora"; });

}  // namespace
}  // namespace athanor::testing

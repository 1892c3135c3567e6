// Ranks as processes give the same files as ranks as threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "tests/multirank/equivalence_case.h"
#include "tests/support/process.h"

namespace athanor::testing {
namespace {

bool is_full(const EquivalenceCase& candidate) { return candidate.mode == Mode::kFull; }

// Two of the covering set for each of three world sizes: one of stage 3, one of stage 1 or 2; where
// the set has it, one LoRA and one full fine-tune.
std::vector<EquivalenceCase> mpirun_cases() {
  std::vector<EquivalenceCase> chosen;
  const auto take = [&](auto wanted) {
    const std::vector<EquivalenceCase>& all = covering_cases();
    const auto found = std::find_if(all.begin(), all.end(), wanted);
    if (found != all.end()) chosen.push_back(*found);
    return found != all.end();
  };
  for (const int world : {2, 3, 4}) {
    take([&](const EquivalenceCase& c) { return c.world == world && c.stage.stage == 3; });
    const bool full = !chosen.empty() && !is_full(chosen.back());
    const auto lower = [&](const EquivalenceCase& c) {
      return c.world == world && (c.stage.stage == 1 || c.stage.stage == 2);
    };
    take([&](const EquivalenceCase& c) { return lower(c) && is_full(c) == full; }) || take(lower);
  }
  return chosen;
}

// The lines of trainer_log.jsonl without what a clock says.
std::vector<std::string> timeless_log(const std::filesystem::path& folder) {
  std::istringstream file(slurp(folder / "trainer_log.jsonl"));
  std::vector<std::string> lines;
  for (std::string text; std::getline(file, text);) {
    nlohmann::ordered_json line = nlohmann::ordered_json::parse(text);
    for (const char* key : {"elapsed_time", "remaining_time", "throughput", "step_ms"}) {
      line.erase(key);
    }
    lines.push_back(line.dump());
  }
  return lines;
}

// Everything that was trained or said about it, byte for byte.
std::map<std::string, std::string> files_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    // One has times in it, others say how many ranks there were or which process it was.
    if (name == "trainer_log.jsonl" || name == "training_args.yaml" || name == "README.md" ||
        name == ".athanor.lock" || !entry.is_regular_file()) {
      continue;
    }
    files[name] = slurp(entry.path());
  }
  return files;
}

class Mpirun : public ::testing::TestWithParam<EquivalenceCase> {};

TEST_P(Mpirun, WritesTheSameFilesAsThreadRanks) {
  if (const std::string reason = mpirun_missing(); !reason.empty()) GTEST_SKIP() << reason;
  const TempFolder folder;
  RunConfig config = GetParam().config(folder / "threads");
  spill(folder / "threads.yaml", to_yaml(config));
  config.ranks = 1;
  config.output_dir = folder / "processes";
  spill(folder / "processes.yaml", to_yaml(config));
  const ProcessResult threads = run_process({ATHANOR_PROGRAM, "train", folder / "threads.yaml"});
  ASSERT_EQ(threads.exit_code, 0) << threads.err;
  const ProcessOptions options{mpirun_environment(), ""};
  const ProcessResult processes = run_process(
      mpirun_command(GetParam().world, {ATHANOR_PROGRAM, "train", folder / "processes.yaml"}),
      options);
  ASSERT_EQ(processes.exit_code, 0) << processes.err;

  EXPECT_EQ(timeless_log(folder / "processes"), timeless_log(folder / "threads"));
  EXPECT_EQ(timeless_log(folder / "threads").size(), size_t{kEquivalenceSteps});
  const auto got = files_of(folder / "processes");
  const auto expected = files_of(folder / "threads");
  ASSERT_EQ(got.size(), expected.size());
  for (const auto& [name, bytes] : expected) {
    EXPECT_TRUE(got.count(name) == 1 && got.at(name) == bytes) << name << " differs";
  }
}

INSTANTIATE_TEST_SUITE_P(Pairwise, Mpirun, ::testing::ValuesIn(mpirun_cases()),
                         [](const auto& info) { return info.param.name(); });

TEST(MpirunSet, HasSixConfigurationsOfBothKindsAndBothDtypes) {
  const std::vector<EquivalenceCase> cases = mpirun_cases();
  EXPECT_EQ(cases.size(), 6u);
  for (const bool wanted : {false, true}) {
    EXPECT_TRUE(std::any_of(cases.begin(), cases.end(),
                            [&](const EquivalenceCase& c) { return is_full(c) == wanted; }));
    EXPECT_TRUE(std::any_of(cases.begin(), cases.end(),
                            [&](const EquivalenceCase& c) { return c.bf16 == wanted; }));
  }
}

}  // namespace
}  // namespace athanor::testing

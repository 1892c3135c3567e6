// Ranks that were started with different settings, files or programs say so before they train.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "tests/cli/cli_support.h"

namespace athanor::testing {
namespace {

constexpr std::chrono::seconds kPatience{30};

struct RankStart {
  std::vector<std::string> overrides;
  std::vector<std::string> environment;
  std::string folder = ".";  // to start in
};

class DisagreementTest : public CliTest {
 protected:
  // Two ranks, as launch starts them, each with its own command line.
  std::array<ProcessResult, 2> train_pair(const std::array<RankStart, 2>& ranks) const {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    std::array<std::unique_ptr<ChildProcess>, 2> processes;
    for (size_t rank = 0; rank < 2; ++rank) {
      const std::string socket = std::to_string(ends[rank]);
      ProcessOptions options{ranks[rank].environment, ""};
      options.environment.push_back("ATHANOR_LAUNCH_RANK=" + std::to_string(rank));
      options.environment.push_back("ATHANOR_LAUNCH_SOCKETS=" +
                                    (rank == 0 ? "-1," + socket : socket + ",-1"));
      ::fcntl(ends[rank], F_SETFD, 0);
      std::vector<std::string> command = {"sh", "-c", "cd \"$0\" && exec \"$@\"",
                                          ranks[rank].folder};
      for (const std::string& word : train_command(ranks[rank].overrides)) command.push_back(word);
      processes[rank] = std::make_unique<ChildProcess>(command, options);
      ::fcntl(ends[rank], F_SETFD, FD_CLOEXEC);
    }
    for (const int end : ends) ::close(end);
    return {processes[0]->wait(kPatience), processes[1]->wait(kPatience)};
  }

  void expect_disagreement(const std::array<RankStart, 2>& ranks,
                           const std::vector<std::string>& parts) const {
    const auto results = train_pair(ranks);
    expect_error(results[0], 78, parts);
    EXPECT_EQ(results[1].exit_code, 78) << results[1].err;
    EXPECT_FALSE(std::filesystem::exists(out()));
  }
};

TEST_F(DisagreementTest, NoneBetweenTheSame) {
  const auto results =
      train_pair({RankStart{}, RankStart{{"threads=2"}, {}, "."}});  // threads may differ
  EXPECT_EQ(results[0].exit_code, 0) << results[0].err;
  EXPECT_EQ(results[1].exit_code, 0) << results[1].err;
  expect_complete_adapter(out());
}

TEST_F(DisagreementTest, OfSettingsNamesTheKeyAndBothValues) {
  expect_disagreement({RankStart{{"learning_rate=0.002"}, {}, "."}, RankStart{}},
                      {"learning_rate: rank 0 has 0.002", "rank 1 has 0.001"});
  expect_disagreement({RankStart{}, RankStart{{"zero.stage=3"}, {}, "."}},
                      {"zero.stage: rank 0 has 0, rank 1 has 3"});
  expect_disagreement({RankStart{}, RankStart{{"warmup_steps=2"}, {}, "."}},
                      {"warmup_steps: rank 0 has nothing, rank 1 has 2"});
}

// As on hosts with disks of their own: the same relative path, in two folders.
TEST_F(DisagreementTest, OfFilesIsSeenByTheirContent) {
  const auto host = [&](const char* name) {
    std::filesystem::create_directories(folder_ / name);
    std::filesystem::copy(golden("llama_tied"), folder_ / name / "model");
    return RankStart{{"model_name_or_path=model", "dataset=model/data.jsonl"}, {}, folder_ / name};
  };
  const RankStart a = host("a");
  const RankStart b = host("b");
  const auto append = [&](const char* file, const std::string& text) {
    spill(folder_ / "b/model" / file, slurp(folder_ / "a/model" / file) + text);
  };
  append("data.jsonl", "{\"input_ids\": [1, 2, 3], \"labels\": [1, 2, 3]}\n");
  expect_disagreement({a, b}, {"dataset digest: rank 0 has ", ", rank 1 has "});
  append("data.jsonl", "");
  append("config.json", "\n");
  expect_disagreement({a, b}, {"config.json digest: rank 0 has ", ", rank 1 has "});
}

TEST_F(DisagreementTest, OfVectorInstructionsMattersInBf16) {
  const RankStart narrow{{"bf16=true"}, {"ATHANOR_MAX_CPU_ISA=generic"}, "."};
  expect_disagreement({RankStart{{"bf16=true"}, {"ATHANOR_MAX_CPU_ISA=avx2"}, "."}, narrow},
                      {"vector instructions", "avx2", "generic"});
}

ProcessResult mpirun_pair(const std::vector<std::string>& first,
                          const std::vector<std::string>& second) {
  std::vector<std::string> command = {"mpirun", "-n", "1"};
  command.insert(command.end(), first.begin(), first.end());
  for (const char* word : {":", "-n", "1"}) command.emplace_back(word);
  command.insert(command.end(), second.begin(), second.end());
  return run_process(command, {mpirun_environment(), ""});
}

TEST_F(DisagreementTest, UnderMpirunEndsAllRanks) {
  if (const std::string reason = mpirun_missing(); !reason.empty()) GTEST_SKIP() << reason;
  expect_error(mpirun_pair(train_command({"seed=1"}), train_command({"seed=2"})), 78,
               {"seed: rank 0 has 1, rank 1 has 2"});
  EXPECT_FALSE(std::filesystem::exists(out()));
}

TEST_F(DisagreementTest, WhatOnlyOneRankMissesIsSaidByIt) {
  if (const std::string reason = mpirun_missing(); !reason.empty()) GTEST_SKIP() << reason;
  expect_error(mpirun_pair(train_command(), train_command({"model_name_or_path=/nowhere/model"})),
               78, {"[rank 1]", "/nowhere/model"});
  EXPECT_FALSE(std::filesystem::exists(out()));
}

}  // namespace
}  // namespace athanor::testing

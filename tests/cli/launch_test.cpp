// athanor launch: the same files as thread ranks, and no process left whoever dies.
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <sstream>
#include <thread>

#include "tests/cli/cli_support.h"

namespace athanor::testing {
namespace {

constexpr std::chrono::seconds kPatience{30};

bool wait_until(const std::function<bool()>& ready) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!ready()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

// A zombie that nobody waits for has ended, too.
bool has_ended(pid_t pid) {
  const std::string stat = slurp("/proc/" + std::to_string(pid) + "/stat");
  const size_t name_end = stat.rfind(')');
  return name_end == std::string::npos || stat.substr(name_end, 3) == ") Z";
}

class LaunchTest : public CliTest {
 protected:
  std::vector<std::string> launch_command(int ranks, std::vector<std::string> overrides) const {
    std::vector<std::string> command = {ATHANOR_PROGRAM, "launch", "-n", std::to_string(ranks),
                                        folder_ / "config.yaml"};
    command.insert(command.end(), overrides.begin(), overrides.end());
    return command;
  }
  ProcessResult launch(int ranks, std::vector<std::string> overrides = {}) const {
    return run_process(launch_command(ranks, std::move(overrides)));
  }
  std::string log_of(int rank) const {
    return slurp(out() / "logs" / ("rank-" + std::to_string(rank) + ".log"));
  }
  bool wait_for_steps(ChildProcess& process) const {
    return wait_until([&] {
             const std::string log = slurp(out() / "trainer_log.jsonl");
             return !process.running() || std::count(log.begin(), log.end(), '\n') >= 3;
           }) &&
           process.running();
  }
  // The pids of its ranks, in order of rank, once they train without end.
  std::vector<pid_t> ranks_of(ChildProcess& process, size_t count) const {
    EXPECT_TRUE(wait_for_steps(process)) << process.wait(std::chrono::seconds(0)).err;
    const std::vector<pid_t> ranks = process.children();
    EXPECT_EQ(ranks.size(), count);
    return ranks;
  }
};

const std::vector<std::string> kEndless = {"max_steps=1000000"};

class LaunchWorlds : public LaunchTest, public ::testing::WithParamInterface<int> {};

TEST_P(LaunchWorlds, WriteTheFilesOfThreadRanks) {
  const std::string ranks = std::to_string(GetParam());
  const std::vector<std::string> settings = {"zero.stage=3", "lora_dropout=0.1", "save_steps=2"};
  std::vector<std::string> threads = settings;
  threads.insert(threads.end(), {out_key("threads"), "ranks=" + ranks});
  ASSERT_EQ(train(threads).exit_code, 0);
  const ProcessResult result = launch(GetParam(), settings);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(slurp(out() / "adapter_model.safetensors"),
            slurp(folder_ / "threads/adapter_model.safetensors"));
  EXPECT_EQ(losses_of(out()), losses_of(folder_ / "threads"));
  EXPECT_EQ(losses_of(out()).size(), 3u);
  // What rank 0 says is seen, and kept.
  EXPECT_NE(result.err.find("finished 3 steps"), std::string::npos) << result.err;
  EXPECT_EQ(result.err, log_of(0));
  for (int rank = 0; rank < GetParam(); ++rank) {
    EXPECT_TRUE(
        std::filesystem::exists(out() / "logs" / ("rank-" + std::to_string(rank) + ".log")));
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, LaunchWorlds, ::testing::Values(1, 2, 3));

TEST_F(LaunchTest, KilledRankIsNamedAndEndsTheOthers) {
  ChildProcess process(launch_command(3, kEndless));
  const std::vector<pid_t> ranks = ranks_of(process, 3);
  ASSERT_EQ(ranks.size(), 3u);
  ASSERT_EQ(::kill(ranks[1], SIGKILL), 0);
  const ProcessResult result = process.wait(kPatience);
  EXPECT_EQ(result.exit_code, 69) << result.err;
  EXPECT_NE(result.err.find("rank 1 failed: killed by signal 9 (SIGKILL)"), std::string::npos)
      << result.err;
  EXPECT_NE(result.err.find("rank-1.log"), std::string::npos) << result.err;
  for (const pid_t rank : ranks) EXPECT_TRUE(has_ended(rank));
  EXPECT_NE(log_of(0).find("rank 1 closed its connection"), std::string::npos) << log_of(0);
}

TEST_F(LaunchTest, RankThatDoesNotNoticeIsEndedAfterAGrace) {
  ChildProcess process(launch_command(2, kEndless));
  const std::vector<pid_t> ranks = ranks_of(process, 2);
  ASSERT_EQ(ranks.size(), 2u);
  ASSERT_EQ(::kill(ranks[0], SIGSTOP), 0);
  ASSERT_EQ(::kill(ranks[1], SIGKILL), 0);
  const ProcessResult result = process.wait(kPatience);
  EXPECT_EQ(result.exit_code, 69) << result.err;
  EXPECT_NE(result.err.find("rank 0 ended by the launcher"), std::string::npos) << result.err;
  EXPECT_TRUE(has_ended(ranks[0]));
}

TEST_F(LaunchTest, KilledLauncherLeavesNoRank) {
  ChildProcess process(launch_command(2, kEndless));
  const std::vector<pid_t> ranks = ranks_of(process, 2);
  ASSERT_TRUE(process.send(SIGKILL));
  EXPECT_EQ(process.wait(kPatience).exit_code, 128 + SIGKILL);
  for (const pid_t rank : ranks) EXPECT_TRUE(wait_until([&] { return has_ended(rank); })) << rank;
}

class LaunchSignals : public LaunchTest, public ::testing::WithParamInterface<int> {};

TEST_P(LaunchSignals, FinishTheStepAndSave) {
  ChildProcess process(launch_command(2, kEndless));
  const std::vector<pid_t> ranks = ranks_of(process, 2);
  ASSERT_TRUE(process.send(GetParam()));
  const ProcessResult result = process.wait(kPatience);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  expect_complete_adapter(out());
  for (const pid_t rank : ranks) EXPECT_TRUE(has_ended(rank));
}

INSTANTIATE_TEST_SUITE_P(Signals, LaunchSignals, ::testing::Values(SIGINT, SIGTERM, SIGUSR1),
                         [](const auto& info) { return std::string(sigabbrev_np(info.param)); });

// A stopped rank cannot finish its step, so only the second one ends the run.
TEST_F(LaunchTest, SecondInterruptEndsAtOnce) {
  ChildProcess process(launch_command(2, kEndless));
  const std::vector<pid_t> ranks = ranks_of(process, 2);
  ASSERT_EQ(ranks.size(), 2u);
  ASSERT_EQ(::kill(ranks[1], SIGSTOP), 0);
  ASSERT_TRUE(process.send(SIGINT));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  ASSERT_TRUE(process.running());
  ASSERT_TRUE(process.send(SIGINT));
  const ProcessResult result = process.wait(std::chrono::seconds(5));
  EXPECT_EQ(result.exit_code, 130) << result.err;
  for (const pid_t rank : ranks) EXPECT_TRUE(has_ended(rank));
}

TEST_F(LaunchTest, ConfigurationErrorsAreSaidOnce) {
  expect_error(launch(2, {"learning_rte=1"}), 78, {"learning_rate"});
  EXPECT_FALSE(std::filesystem::exists(out()));
  expect_error(launch(2, {"ranks=2"}), 78, {"ranks", "-n"});
  EXPECT_FALSE(std::filesystem::exists(out()));
  // Found by the ranks. Their logs do not keep the next run from starting.
  expect_error(launch(2, {"model_name_or_path=/nowhere/model"}), 78, {"/nowhere/model"});
  EXPECT_EQ(launch(2).exit_code, 0);
  expect_error(launch(2), 78, {"not empty"});
}

TEST_F(LaunchTest, ExitCodeIsThatOfTheCause) {
  spill(out() / "adapter_model.safetensors/folder", "in the way");
  expect_error(launch(2, {"overwrite_output_dir=true"}), 74,
               {"adapter_model.safetensors", "rank 0 failed: exit code 74"});
  EXPECT_EQ(launch(2, {"learning_rate=1e30", "max_steps=20", out_key("diverges")}).exit_code, 76);
}

TEST_F(LaunchTest, CommandLineErrorsEndWithTwo) {
  const std::string config = folder_ / "config.yaml";
  EXPECT_EQ(athanor({"launch", config}).exit_code, 2);
  EXPECT_EQ(athanor({"launch", "-n", "0", config}).exit_code, 2);
  EXPECT_EQ(athanor({"launch", "-n", "2", "--hostfile", folder_ / "none", config}).exit_code, 2);
  const ProcessResult nested =
      run_process(launch_command(2, {}), {{"PMI_RANK=0", "PMI_SIZE=2"}, ""});
  EXPECT_EQ(nested.exit_code, 2) << nested.err;
}

TEST_F(LaunchTest, NeedsNoStandardInput) {
  std::vector<std::string> command = {"sh", "-c", "exec \"$0\" \"$@\" <&-"};
  for (const std::string& word : launch_command(2, {})) command.push_back(word);
  const ProcessResult result = run_process(command);
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

TEST_F(LaunchTest, ProfileIsWrittenByRankZero) {
  const ProcessResult result = launch(2, {"--profile", (folder_ / "trace.json").string()});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(log_of(0).find("of the limit"), std::string::npos) << log_of(0);
  EXPECT_GT(Json::parse(slurp(folder_ / "trace.json")).at("traceEvents").size(), 50u);
}

// A stand-in for mpirun: what its script says, found before the real one.
class StandInTest : public LaunchTest {
 protected:
  std::vector<std::string> hostfile_command() const {
    spill(folder_ / "hosts", "localhost slots=2\n");
    std::vector<std::string> command = launch_command(2, {});
    command.insert(command.begin() + 2, {"--hostfile", folder_ / "hosts"});
    return command;
  }
  ProcessOptions with_mpirun(const std::string& script) const {
    spill(folder_ / "bin/mpirun", "#!/bin/sh\n" + script);
    std::filesystem::permissions(folder_ / "bin/mpirun", std::filesystem::perms::owner_all);
    return {{"PATH=" + (folder_ / "bin").string() + ":/usr/bin:/bin"}, ""};
  }
};

TEST_F(StandInTest, MissingMpirunIsAnErrorOfItsOwn) {
  const ProcessResult result = run_process(hostfile_command(), {{"PATH=/nowhere"}, ""});
  expect_error(result, 74, {"mpirun: cannot be started: No such file or directory"});
}

TEST_F(StandInTest, FurtherInterruptKillsAnMpirunThatDoesNotEnd) {
  const std::string started = (folder_ / "started").string();
  ChildProcess process(hostfile_command(), with_mpirun("trap '' INT TERM USR1\n: > " + started +
                                                       "\nwhile :; do sleep 0.05; done\n"));
  ASSERT_TRUE(wait_until([&] { return std::filesystem::exists(started); }));
  const std::vector<pid_t> children = process.children();
  ASSERT_EQ(children.size(), 1u);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(process.running());
    ASSERT_TRUE(process.send(SIGINT));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  const ProcessResult result = process.wait(std::chrono::seconds(2));
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_TRUE(has_ended(children[0]));
}

class HostfileTest : public LaunchTest {
 protected:
  void SetUp() override {
    if (const std::string reason = mpirun_missing(); !reason.empty()) GTEST_SKIP() << reason;
    spill(folder_ / "hosts", "localhost slots=2\n");
  }
  ChildProcess start(std::vector<std::string> overrides) const {
    std::vector<std::string> command = launch_command(2, std::move(overrides));
    command.insert(command.begin() + 2, {"--hostfile", folder_ / "hosts"});
    return ChildProcess(command, {mpirun_environment(), ""});
  }
};

TEST_F(HostfileTest, StartsTheRanksByMpirun) {
  ASSERT_EQ(train({"ranks=2", out_key("threads")}).exit_code, 0);
  const ProcessResult result = start({}).wait(kPatience);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(slurp(out() / "adapter_model.safetensors"),
            slurp(folder_ / "threads/adapter_model.safetensors"));
}

TEST_F(HostfileTest, CtrlCFinishesTheStepAndSaves) {
  ChildProcess process = start(kEndless);
  ASSERT_TRUE(wait_for_steps(process)) << process.wait(std::chrono::seconds(0)).err;
  ASSERT_TRUE(process.send(SIGINT));
  const ProcessResult result = process.wait(kPatience);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  expect_complete_adapter(out());
}

TEST_F(HostfileTest, KilledLauncherLeavesNoRank) {
  ChildProcess process = start(kEndless);
  ASSERT_TRUE(wait_for_steps(process)) << process.wait(std::chrono::seconds(0)).err;
  std::vector<pid_t> all = process.children();
  ASSERT_EQ(all.size(), 1u);
  ASSERT_TRUE(process.send(SIGKILL));
  process.wait(kPatience);
  EXPECT_TRUE(wait_until([&] { return has_ended(all[0]); }));
  const auto size = [&] { return std::filesystem::file_size(out() / "trainer_log.jsonl"); };
  EXPECT_TRUE(wait_until([&] {
    const auto last = size();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    return size() == last;
  })) << "a rank goes on training";
}

}  // namespace
}  // namespace athanor::testing

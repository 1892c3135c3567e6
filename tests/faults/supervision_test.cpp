// A run that `athanor launch` watches: ranks that are killed, that stop, that have another config;
// what `athanor status` shows and asks for.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "tests/cli/cli_support.h"

namespace athanor::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kPatience{120};

bool wait_until(const std::function<bool()>& ready) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!ready()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class SupervisionTest : public CliTest {
 protected:
  std::vector<std::string> command(const std::string& name, const std::vector<std::string>& flags,
                                   const std::vector<std::string>& overrides) const {
    std::vector<std::string> words = {ATHANOR_PROGRAM, "launch", "-n", "2"};
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), {(folder_ / "config.yaml").string(), out_key(name), "zero.stage=2",
                               "lora_dropout=0.1", "global_batch_size=8"});
    words.insert(words.end(), overrides.begin(), overrides.end());
    return words;
  }
  size_t lines(const std::string& name) const {
    const std::string log = slurp(folder_ / name / "trainer_log.jsonl");
    return static_cast<size_t>(std::count(log.begin(), log.end(), '\n'));
  }
  bool has_checkpoint(const std::string& name) const {
    std::error_code none_yet;
    return std::ranges::any_of(fs::directory_iterator(folder_ / name, none_yet),
                               [](const fs::directory_entry& entry) {
                                 return entry.path().filename().string().starts_with("checkpoint-");
                               });
  }
  // The ranks, once the run has logged so many steps.
  std::vector<pid_t> ranks_after(ChildProcess& process, const std::string& name,
                                 size_t steps) const {
    EXPECT_TRUE(wait_until([&] { return !process.running() || lines(name) >= steps; }));
    return process.children();
  }
  ProcessResult status(const std::string& name, const std::vector<std::string>& flags = {}) const {
    std::vector<std::string> words = {"status", (folder_ / name).string()};
    words.insert(words.end(), flags.begin(), flags.end());
    return athanor(words);
  }
};

const std::vector<std::string> kEndless = {"max_steps=1000000"};

TEST_F(SupervisionTest, RunWhoseRanksAreKilledEndsWithTheWeightsOfTheUninterruptedOne) {
  std::vector<std::string> settings = {"max_steps=48", "save_steps=4", "save_total_limit=2"};
  ASSERT_EQ(run_process(command("straight", {}, settings)).exit_code, 0);
  settings.push_back("max_restarts=9");
  ChildProcess process(command("out", {}, settings));
  int killed = 0;
  for (const size_t steps : {6u, 15u, 25u}) {
    const std::vector<pid_t> ranks = ranks_after(process, "out", steps);
    if (ranks.size() != 2 || !process.running()) continue;
    killed += ::kill(ranks[steps % 2], SIGKILL) == 0;
  }
  const ProcessResult result = process.wait(kPatience);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  ASSERT_GT(killed, 0);
  EXPECT_TRUE(has(result.err, "restart 1 of 9 with 2 ranks")) << result.err;
  for (const char* file : {"adapter_model.safetensors", "trainer_state.json"}) {
    EXPECT_EQ(slurp(folder_ / "out" / file), slurp(folder_ / "straight" / file)) << file;
  }
  EXPECT_EQ(losses_of(folder_ / "out"), losses_of(folder_ / "straight"));
}

TEST_F(SupervisionTest, KilledRankIsNamedWithHostSignalAndStep) {
  ChildProcess process(command("out", {}, kEndless));
  const std::vector<pid_t> ranks = ranks_after(process, "out", 3);
  ASSERT_EQ(ranks.size(), 2u);
  // Its first heartbeat with a step.
  EXPECT_TRUE(wait_until([&] { return !has(status("out").out, "step 0 of"); }));
  ASSERT_EQ(::kill(ranks[1], SIGKILL), 0);
  const ProcessResult result = process.wait(kPatience);
  EXPECT_EQ(result.exit_code, 69) << result.err;
  EXPECT_TRUE(has(result.err, "rank 1 failed: killed by signal 9 (SIGKILL) on ")) << result.err;
  EXPECT_TRUE(has(result.err, " after step ")) << result.err;
}

TEST_F(SupervisionTest, StoppedRankIsNamedAndEndsTheRun) {
  ChildProcess process(command("out", {"--hang-timeout", "4"}, kEndless));
  const std::vector<pid_t> ranks = ranks_after(process, "out", 3);
  ASSERT_EQ(ranks.size(), 2u);
  ASSERT_EQ(::kill(ranks[1], SIGSTOP), 0);
  const ProcessResult result = process.wait(kPatience);
  EXPECT_EQ(result.exit_code, 124) << result.err;
  EXPECT_TRUE(has(result.err, "rank 1 (")) << result.err;
  EXPECT_TRUE(has(result.err, "process " + std::to_string(ranks[1]) + ") hangs after step "))
      << result.err;
  for (const pid_t rank : ranks) EXPECT_NE(::kill(rank, 0), 0) << rank;
}

TEST_F(SupervisionTest, FiveSecondsOfSilenceAreNoHang) {
  ChildProcess process(command("out", {"--hang-timeout", "30"}, kEndless));
  const std::vector<pid_t> ranks = ranks_after(process, "out", 3);
  ASSERT_EQ(ranks.size(), 2u);
  ASSERT_EQ(::kill(ranks[0], SIGSTOP), 0);
  std::this_thread::sleep_for(std::chrono::seconds(5));
  ASSERT_EQ(::kill(ranks[0], SIGCONT), 0);
  const size_t before = lines("out");
  EXPECT_TRUE(wait_until([&] { return lines("out") > before + 3; }));
  ASSERT_TRUE(process.send(SIGTERM));
  const ProcessResult result = process.wait(kPatience);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_FALSE(has(result.err, "hang")) << result.err;
}

TEST_F(SupervisionTest, RankWithAnotherConfigIsRefusedAtItsStart) {
  std::vector<std::string> settings = {"max_steps=1000000", "max_restarts=5"};
  ChildProcess process(command("out", {}, settings));
  const std::vector<pid_t> ranks = ranks_after(process, "out", 3);
  ASSERT_EQ(ranks.size(), 2u);
  spill(folder_ / "config.yaml", slurp(folder_ / "config.yaml") + "weight_decay: 0.1\n");
  ASSERT_EQ(::kill(ranks[0], SIGKILL), 0);
  const ProcessResult result = process.wait(kPatience);
  EXPECT_EQ(result.exit_code, 78) << result.err;
  EXPECT_TRUE(has(result.err, "config: rank 0 has hash ")) << result.err;
  EXPECT_TRUE(has(result.err, "not restarted: exit code 78")) << result.err;
}

TEST_F(SupervisionTest, StatusShowsTheRanksAndAsksThem) {
  EXPECT_EQ(status("nowhere").exit_code, 2);
  ChildProcess process(command("out", {}, kEndless));
  ASSERT_EQ(ranks_after(process, "out", 3).size(), 2u);
  ProcessResult shown = status("out", {"--pause", "--save"});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_TRUE(wait_until([&] {
    const std::string text = status("out").out;
    return has(text, "paused  ") && text.find("paused  ") != text.rfind("paused  ");
  }));
  EXPECT_TRUE(wait_until([&] { return has_checkpoint("out"); }));
  const size_t paused = lines("out");
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(lines("out"), paused);
  EXPECT_EQ(status("out", {"--resume"}).exit_code, 0);
  EXPECT_TRUE(wait_until([&] { return lines("out") > paused; }));
  EXPECT_EQ(status("out", {"--stop"}).exit_code, 0);
  EXPECT_EQ(process.wait(kPatience).exit_code, 75);
  expect_error(status("out"), 69, {"no run of athanor launch is live in"});
}

TEST_F(SupervisionTest, GoesOnWithFewerRanksWhereNothingElseHelps) {
  ChildProcess process(command("out", {"--min-ranks", "1"},
                               {"max_steps=1000000", "save_steps=4", "max_restarts=9"}));
  ASSERT_TRUE(wait_until([&] { return has_checkpoint("out"); }));
  std::vector<pid_t> ranks = process.children();
  for (int i = 0; i < 3; ++i) {  // the last two before they have saved anything
    ASSERT_EQ(ranks.size(), 2u);
    ASSERT_EQ(::kill(ranks[1], SIGKILL), 0);
    const pid_t gone = ranks[0];
    const size_t next = i < 2 ? 2 : 1;
    ASSERT_TRUE(wait_until([&] {
      ranks = process.children();
      return !process.running() || (ranks.size() == next && ranks[0] > gone);
    }));
  }
  EXPECT_TRUE(wait_until(
      [&] { return !process.running() || has(status("out").out, ", 1 ranks, 3 restarts"); }));
  EXPECT_EQ(status("out", {"--stop"}).exit_code, 0);
  const ProcessResult result = process.wait(kPatience);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_TRUE(has(result.err, "restart 3 of 9 with 1 ranks, from step ")) << result.err;
}

// A paused run obeys signals all the same.
TEST_F(SupervisionTest, PausedRunCanBeStopped) {
  ChildProcess process(command("out", {}, kEndless));
  ASSERT_EQ(ranks_after(process, "out", 3).size(), 2u);
  EXPECT_EQ(status("out", {"--pause"}).exit_code, 0);
  EXPECT_TRUE(wait_until([&] { return has(status("out").out, "paused  "); }));
  ASSERT_TRUE(process.send(SIGTERM));
  EXPECT_EQ(process.wait(kPatience).exit_code, 75);
}

TEST_F(SupervisionTest, SecretOfTheEnvironmentIsNowhereAfterwards) {
  const std::string secret = "furnace-5d1f7c";
  ChildProcess process(command("out", {}, {"max_steps=1000000", "max_restarts=1", "save_steps=2"}),
                       {{"HF_TOKEN=" + secret}, ""});
  for (int i = 0; i < 2; ++i) {
    const std::vector<pid_t> ranks = ranks_after(process, "out", 3);
    ASSERT_EQ(ranks.size(), 2u);
    EXPECT_FALSE(has(status("out").out, secret));
    ASSERT_EQ(::kill(ranks[1], SIGKILL), 0);
    if (i > 0) break;
    EXPECT_TRUE(wait_until([&] {
      const std::vector<pid_t> next = process.children();
      return next.size() == 2 && next[0] != ranks[0] && next[1] != ranks[1];
    }));
  }
  const ProcessResult result = process.wait(kPatience);
  EXPECT_EQ(result.exit_code, 69) << result.err;
  EXPECT_FALSE(has(result.err + result.out, secret));
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder_ / "out")) {
    if (!entry.is_regular_file()) continue;
    ++files;
    EXPECT_FALSE(has(slurp(entry.path()), secret)) << entry.path();
  }
  EXPECT_GT(files, 5);
}

TEST_F(SupervisionTest, RestartsAreOfLaunch) {
  expect_error(train({"max_restarts=2"}), 78, {"max_restarts", "athanor launch"});
  EXPECT_EQ(run_process(command("out", {"--min-ranks", "1"}, {})).exit_code, 2);
  EXPECT_EQ(run_process(command("out", {"--min-ranks", "3"}, {"max_restarts=1"})).exit_code, 2);
}

}  // namespace
}  // namespace athanor::testing

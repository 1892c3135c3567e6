// A signal ends a run after its step, with everything saved; a second Ctrl-C at once.
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <thread>
#include <tuple>

#include "tests/cli/cli_support.h"

namespace athanor::testing {
namespace {

constexpr std::chrono::seconds kPatience{30};

// Looks until `ready`, or until the process has ended or patience has.
bool wait_until(ChildProcess& process, const std::function<bool()>& ready) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (process.running() && std::chrono::steady_clock::now() < deadline) {
    if (ready()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

class SignalTest : public CliTest {
 protected:
  bool wait_for_steps(ChildProcess& process) const {
    return wait_until(process, [&] {
      const std::string log = slurp(out() / "trainer_log.jsonl");
      return std::count(log.begin(), log.end(), '\n') >= 3;
    });
  }

  void expect_stopped_and_saved(const ProcessResult& result) const {
    EXPECT_FALSE(result.timed_out) << result.err;
    EXPECT_EQ(result.exit_code, 75) << result.err;
    expect_complete_adapter(out());
    const Json state = Json::parse(slurp(out() / "trainer_state.json"));
    EXPECT_EQ(state.at("global_step"), log_lines(out()).size());
    EXPECT_LT(state.at("global_step"), 1000000);
    const std::string step = state.at("global_step").dump();
    EXPECT_EQ(athanor({"ckpt", "verify", out() / ("checkpoint-" + step)}).exit_code, 0);
    EXPECT_TRUE(athanor({"ckpt", "ls", out()}).out.starts_with("checkpoint-" + step + "  "));
  }
};

class EachSignalTest : public SignalTest,
                       public ::testing::WithParamInterface<std::tuple<int, int>> {};

TEST_P(EachSignalTest, FinishesTheStepAndSaves) {
  const auto [signal, ranks] = GetParam();
  struct sigaction inherited = {};
  ::sigaction(signal, nullptr, &inherited);
  if (inherited.sa_handler == SIG_IGN) GTEST_SKIP() << "ignored by whoever started the tests";
  ChildProcess process(train_command({"max_steps=1000000", "ranks=" + std::to_string(ranks)}));
  ASSERT_TRUE(wait_for_steps(process)) << process.wait(std::chrono::seconds(0)).err;
  EXPECT_TRUE(process.send(signal));
  expect_stopped_and_saved(process.wait(kPatience));
}

INSTANTIATE_TEST_SUITE_P(Signals, EachSignalTest,
                         ::testing::Combine(::testing::Values(SIGTERM, SIGINT, SIGUSR1, SIGHUP),
                                            ::testing::Values(1, 2)),
                         [](const auto& info) {
                           return std::string(sigabbrev_np(std::get<0>(info.param))) + "_ranks" +
                                  std::to_string(std::get<1>(info.param));
                         });

TEST_F(SignalTest, HangUpIsIgnoredUnderNohup) {
  std::vector<std::string> command = {"sh", "-c", "trap '' HUP; exec \"$@\"", "sh"};
  const std::vector<std::string> train = train_command({"max_steps=1000000"});
  command.insert(command.end(), train.begin(), train.end());
  ChildProcess process(command);
  ASSERT_TRUE(wait_for_steps(process)) << process.wait(std::chrono::seconds(0)).err;
  EXPECT_TRUE(process.send(SIGHUP));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_TRUE(process.running());
  EXPECT_TRUE(process.send(SIGTERM));
  expect_stopped_and_saved(process.wait(kPatience));
}

// Files ask as signals do, and are gone when they are obeyed.
TEST_F(SignalTest, FilesAskToSaveAndToStop) {
  ChildProcess process(train_command({"max_steps=1000000", "ranks=2", "save_steps=0"}));
  ASSERT_TRUE(wait_for_steps(process)) << process.wait(std::chrono::seconds(0)).err;
  spill(out() / "SAVE", "");
  EXPECT_TRUE(wait_until(process, [&] {
    return !std::filesystem::exists(out() / "SAVE") && !athanor({"ckpt", "ls", out()}).out.empty();
  }));
  spill(out() / "STOP", "");
  expect_stopped_and_saved(process.wait(kPatience));
  EXPECT_FALSE(std::filesystem::exists(out() / "STOP"));
  const ProcessResult pruned = athanor({"ckpt", "prune", out()});
  EXPECT_EQ(pruned.out.substr(0, 8), "removed ") << pruned.out << pruned.err;
}

TEST_F(SignalTest, ASecondRunInTheSameFolderIsRefused) {
  ChildProcess first(train_command({"max_steps=1000000"}));
  ASSERT_TRUE(wait_for_steps(first)) << first.wait(std::chrono::seconds(0)).err;
  for (const char* way : {"resume_from_checkpoint=auto", "overwrite_output_dir=true"}) {
    expect_error(train({way}), 78, {"in use by another run", "process"});
  }
  EXPECT_EQ(athanor({"ckpt", "prune", out()}).exit_code, 78);
  first.send(SIGTERM);
  expect_stopped_and_saved(first.wait(kPatience));
}

TEST_F(SignalTest, OneRankOfMpirunStopsAll) {
  if (const std::string reason = mpirun_missing(); !reason.empty()) GTEST_SKIP() << reason;
  ChildProcess process(mpirun_command(2, train_command({"max_steps=1000000"})),
                       {mpirun_environment(), ""});
  ASSERT_TRUE(wait_for_steps(process)) << process.wait(std::chrono::seconds(0)).err;
  const std::vector<pid_t> ranks = process.children();
  ASSERT_EQ(ranks.size(), 2u);
  ASSERT_EQ(::kill(ranks[1], SIGUSR1), 0);
  expect_stopped_and_saved(process.wait(kPatience));
}

// A step of a minute: the first signal waits for its end, the second does not. Few long rows,
// because the time before the step grows with their number.
TEST_F(SignalTest, SecondInterruptEndsAtOnce) {
  constexpr int kRows = 8;
  constexpr int kTokens = 8192;  // attention is quadratic
  const Json ids(std::vector<int>(kTokens, 7));
  const std::string row = Json{{"input_ids", ids}, {"labels", ids}}.dump() + "\n";
  std::string rows;
  for (int i = 0; i < kRows; ++i) rows += row;
  spill(folder_ / "long.jsonl", rows);
  ChildProcess process(train_command(
      {"dataset=" + (folder_ / "long.jsonl").string(), "cutoff_len=" + std::to_string(kTokens),
       "per_device_train_batch_size=1", "global_batch_size=" + std::to_string(kRows)}));
  ASSERT_TRUE(wait_until(process, [&] {
    return std::filesystem::exists(out() / "training_args.yaml");
  })) << process.wait(std::chrono::seconds(0)).err;
  process.send(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  ASSERT_TRUE(process.running());
  process.send(SIGINT);
  const ProcessResult result = process.wait(std::chrono::seconds(10));
  EXPECT_EQ(result.exit_code, 130) << result.err;
}

}  // namespace
}  // namespace athanor::testing

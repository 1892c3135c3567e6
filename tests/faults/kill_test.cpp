// Runs that are killed without warning, at moments that nobody chose, and started again until they
// finish: nothing of the result shows it.
#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <thread>

#include "tests/cli/cli_support.h"

namespace athanor::testing {
namespace {

constexpr std::chrono::seconds kPatience{60};
constexpr int kKills = 3;

class KillTest : public CliTest, public ::testing::WithParamInterface<int> {
 protected:
  // One process, or the launcher with its ranks.
  std::vector<std::string> command(const std::string& name) const {
    std::vector<std::string> command = {ATHANOR_PROGRAM};
    if (ranks() == 1) {
      command.push_back("train");
    } else {
      command.insert(command.end(), {"launch", "-n", std::to_string(ranks())});
    }
    for (const std::string& part :
         {(folder_ / "config.yaml").string(), out_key(name), std::string("max_steps=30"),
          std::string("save_steps=4"), std::string("save_total_limit=2"),
          std::string("lora_dropout=0.1"), std::string("global_batch_size=8"),
          std::string("zero.stage=2"), std::string("resume_from_checkpoint=auto")}) {
      command.push_back(part);
    }
    return command;
  }
  static int ranks() { return GetParam(); }
  size_t lines(const std::string& name) const {
    const std::string log = slurp(folder_ / name / "trainer_log.jsonl");
    return static_cast<size_t>(std::count(log.begin(), log.end(), '\n'));
  }
};

TEST_P(KillTest, AKilledRunFinishesWithTheWeightsOfTheUninterruptedOne) {
  ASSERT_EQ(run_process(command("straight")).exit_code, 0);
  int killed = 0;
  for (int attempt = 0; attempt < kKills; ++attempt) {
    ChildProcess process(command("out"));
    // A few steps further each time; the rest is chance.
    const size_t wanted = lines("out") + 7 + static_cast<size_t>(attempt);
    while (process.running() && lines("out") < wanted) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    // A rank, or the only process; its peers and the launcher notice.
    std::vector<pid_t> victims = process.children();
    if (victims.empty()) victims = {process.pid()};
    const pid_t victim = victims[static_cast<size_t>(attempt) % victims.size()];
    if (process.running() && ::kill(victim, SIGKILL) == 0) ++killed;
    EXPECT_FALSE(process.wait(kPatience).timed_out);
  }
  EXPECT_GT(killed, 0);
  const ProcessResult last = run_process(command("out"));
  ASSERT_EQ(last.exit_code, 0) << last.err;
  for (const char* file : {"adapter_model.safetensors", "trainer_state.json"}) {
    EXPECT_EQ(slurp(folder_ / "out" / file), slurp(folder_ / "straight" / file)) << file;
  }
  EXPECT_EQ(losses_of(folder_ / "out"), losses_of(folder_ / "straight"));
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "out")) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(".checkpoint-")) << entry.path();
  }
  EXPECT_EQ(athanor({"ckpt", "verify", folder_ / "out"}).exit_code, 0);
}

INSTANTIATE_TEST_SUITE_P(Ranks, KillTest, ::testing::Values(1, 2),
                         [](const auto& info) { return "ranks" + std::to_string(info.param); });

}  // namespace
}  // namespace athanor::testing

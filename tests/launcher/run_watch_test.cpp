#include "launcher/coordinator/run_watch.h"

#include <gtest/gtest.h>

namespace athanor {
namespace {

using namespace std::chrono_literals;
using Time = RunWatch::Time;

const RunIdentity kIdentity{"version 1", "abc"};

RankIntroduction rank_of(int rank, int world = 2) {
  return {rank, world, 100 + rank, "host", kIdentity};
}

bool has(const std::optional<std::string>& text, const std::string& part) {
  return text && text->find(part) != std::string::npos;
}

// Two ranks whose heartbeats come at times that the test chooses.
class RunWatchTest : public ::testing::Test {
 protected:
  RunWatchTest() : watch_(kIdentity, {10s, 10, 30}) {
    watch_.begin_attempt(2, now_);
    for (int rank = 0; rank < 2; ++rank) EXPECT_EQ(watch_.introduce(rank_of(rank), now_), "");
  }
  // Both do `count` steps of a second each.
  void train(int count) {
    for (int i = 0; i < count; ++i) {
      now_ += 1s;
      for (RankReport& report : reports_) {
        ++report.step;
        ++report.ticks;
        report.exchanges_done = report.exchanges_begun += 5;
        report.section = Section::kBackward;
      }
      beat();
    }
  }
  void beat() {
    beat(0);
    beat(1);
  }
  void beat(int rank) {
    EXPECT_TRUE(watch_.beat(rank, 100 + rank, reports_[static_cast<size_t>(rank)], false, now_));
  }
  // Time passes, with heartbeats of those ranks.
  void wait(std::chrono::seconds time, std::initializer_list<int> heard) {
    for (auto second = 0s; second < time; ++second) {
      now_ += 1s;
      for (const int rank : heard) beat(rank);
    }
  }
  std::optional<std::string> hang() const { return watch_.find_hang(now_); }

  Time now_{};
  RunWatch watch_;
  RankReport reports_[2];
};

TEST_F(RunWatchTest, RefusesOtherProgramsConfigsAndStrangers) {
  RankIntroduction other = rank_of(1);
  other.identity.program = "version 2";
  EXPECT_EQ(watch_.introduce(other, now_),
            "program: rank 1 has version 2, the launcher has version 1; all ranks need the same");
  other = rank_of(1);
  other.identity.config = "def";
  EXPECT_NE(watch_.introduce(other, now_).find("config: rank 1 has hash def"), std::string::npos);
  EXPECT_NE(watch_.introduce(rank_of(2), now_), "");
  EXPECT_NE(watch_.introduce(rank_of(-1), now_), "");
  EXPECT_NE(watch_.introduce(rank_of(0, 3), now_), "");
  other = rank_of(1);
  other.process = 7;
  EXPECT_EQ(watch_.introduce(other, now_), "rank 1 is process 101 already");
  EXPECT_FALSE(watch_.beat(1, 7, {}, false, now_));
  EXPECT_FALSE(watch_.beat(5, 7, {}, false, now_));
}

TEST_F(RunWatchTest, NoHangWhileStepsAreDone) {
  train(100);
  EXPECT_EQ(hang(), std::nullopt);
  wait(9s, {0, 1});
  EXPECT_EQ(hang(), std::nullopt);
}

TEST_F(RunWatchTest, SilentRankIsNamedWithWhereItWas) {
  train(3);
  reports_[0].exchanges_begun += 1;  // waits for rank 1
  wait(9s, {0});
  EXPECT_EQ(hang(), std::nullopt);
  wait(2s, {0});
  EXPECT_TRUE(has(hang(), "rank 1 (host, process 101) hangs after step 3, in backward"))
      << hang().value_or("");
  EXPECT_TRUE(has(hang(), "no sign for 11 s (limit 10 s, longest step 1 s); 1 others wait for it"))
      << hang().value_or("");
}

TEST_F(RunWatchTest, RankThatTheOthersWaitForIsNamed) {
  train(3);
  reports_[0].exchanges_begun += 1;
  reports_[1].section = Section::kOptimizer;
  beat();
  wait(11s, {0, 1});
  EXPECT_TRUE(has(hang(), "rank 1 (host, process 101) hangs after step 3, in optimizer"))
      << hang().value_or("");
  EXPECT_TRUE(has(hang(), "no progress")) << hang().value_or("");
}

TEST_F(RunWatchTest, LimitGrowsWithTheLongestStepButNotWithTheFirst) {
  wait(100s, {0, 1});
  train(1);  // the first one took 101 s
  wait(11s, {0, 1});
  EXPECT_NE(hang(), std::nullopt);
  train(1);  // 12 s: the limit is 120 s
  wait(100s, {0, 1});
  EXPECT_EQ(hang(), std::nullopt);
  wait(21s, {0, 1});
  EXPECT_NE(hang(), std::nullopt);
}

TEST_F(RunWatchTest, SavingAndTheFirstStepMayTakeLong) {
  wait(290s, {0, 1});
  EXPECT_EQ(hang(), std::nullopt);
  train(2);
  reports_[0].section = Section::kSave;
  reports_[1].exchanges_begun += 1;
  beat();
  wait(290s, {0, 1});
  EXPECT_EQ(hang(), std::nullopt);
  wait(20s, {0, 1});
  EXPECT_TRUE(has(hang(), "rank 0")) << hang().value_or("");
}

TEST_F(RunWatchTest, EachRequestIsTakenOnce) {
  watch_.ask(Ask::kSave);
  EXPECT_TRUE(watch_.take_save());
  EXPECT_FALSE(watch_.take_save());
  EXPECT_FALSE(watch_.take_stop());
  watch_.ask(Ask::kStop);
  EXPECT_TRUE(watch_.take_stop());
  EXPECT_FALSE(watch_.take_stop());
  EXPECT_TRUE(watch_.status(now_).stopping);
}

TEST_F(RunWatchTest, PauseIsNoHang) {
  train(2);
  watch_.ask(Ask::kPause);
  EXPECT_TRUE(watch_.paused());
  for (RankReport& report : reports_) report.section = Section::kPaused;
  wait(1000s, {0, 1});
  EXPECT_EQ(hang(), std::nullopt);
  watch_.ask(Ask::kResume);
  EXPECT_FALSE(watch_.paused());
  train(1);
  wait(11s, {0, 1});
  EXPECT_NE(hang(), std::nullopt) << "a pause was taken for a long step";
}

TEST_F(RunWatchTest, SleepOfTheLauncherIsForgiven) {
  train(3);
  now_ += 3600s;
  watch_.forgive(3600s);
  EXPECT_EQ(hang(), std::nullopt);
  wait(11s, {0, 1});
  EXPECT_NE(hang(), std::nullopt);
}

TEST_F(RunWatchTest, RankThatNeverComesIsNamedUnlessItMayBeAbsent) {
  watch_.begin_attempt(2, now_);
  EXPECT_EQ(watch_.introduce(rank_of(0), now_), "");
  wait(301s, {0});
  EXPECT_TRUE(has(hang(), "rank 1 hangs: it has not registered")) << hang().value_or("");
  watch_.expect_absent();
  reports_[0].ticks += 1;
  reports_[0].exchanges_begun += 1;
  beat(0);
  EXPECT_EQ(hang(), std::nullopt);
  wait(301s, {0});
  EXPECT_TRUE(
      has(hang(), "the ranks that are not heard here, or the network to them, hang: rank 0"))
      << hang().value_or("");
}

}  // namespace
}  // namespace athanor

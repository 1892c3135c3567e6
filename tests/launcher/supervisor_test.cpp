#include "launcher/supervisor.h"

#include <gtest/gtest.h>

namespace athanor {
namespace {

constexpr ProcessEnd done(int order, int code) { return {order, code, 0, false}; }
constexpr ProcessEnd killed(int order, int signal) { return {order, 0, signal, false}; }
constexpr ProcessEnd ended_here(int order) { return {order, 0, 9, true}; }

TEST(FindCause, NothingWhenNoRankHasFailed) {
  EXPECT_EQ(find_cause({done(1, 0), done(0, 0)}), std::nullopt);
  EXPECT_EQ(find_cause({done(1, 75), done(0, 75)}), std::nullopt);
}

TEST(FindCause, LostPeersAndThoseEndedHereDoNotHideIt) {
  EXPECT_EQ(find_cause({done(0, 69), ended_here(3), done(2, 74), done(1, 69)}), 2u);
  EXPECT_EQ(find_cause({done(0, 69), killed(1, 9), ended_here(2)}), 1u);
}

TEST(FindCause, IsTheFirstOfSeveral) {
  EXPECT_EQ(find_cause({done(2, 74), done(1, 76), killed(0, 11)}), 2u);
  EXPECT_EQ(find_cause({done(1, 69), done(0, 69)}), 1u);
}

TEST(FindCause, AllRanksFindTheSameMistake) {
  EXPECT_EQ(find_cause({done(2, 78), done(1, 78), done(0, 78)}), 0u);
  EXPECT_EQ(find_cause({killed(1, 9), killed(0, 9)}), 1u);
}

}  // namespace
}  // namespace athanor

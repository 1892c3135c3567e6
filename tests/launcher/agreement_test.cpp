#include "launcher/agreement.h"

#include <gtest/gtest.h>

namespace athanor {
namespace {

using All = std::vector<RunFacts>;

TEST(FindDisagreement, IsEmptyWhenAllHaveTheSame) {
  const RunFacts facts = {{"seed", "42"}, {"zero.stage", "3"}};
  EXPECT_EQ(find_disagreement(All{facts}), "");
  EXPECT_EQ(find_disagreement(All{facts, facts, facts}), "");
}

TEST(FindDisagreement, NamesTheKeyBothRanksAndBothValues) {
  const RunFacts facts = {{"seed", "42"}, {"zero.stage", "3"}};
  const std::string text =
      find_disagreement(All{facts, facts, {{"seed", "42"}, {"zero.stage", "2"}}});
  EXPECT_EQ(text, "zero.stage: rank 0 has 3, rank 2 has 2; all ranks need the same");
}

TEST(FindDisagreement, AbsentOnOneSideIsADifference) {
  const RunFacts fewer = {{"seed", "42"}};
  const RunFacts more = {{"seed", "42"}, {"max_steps", "3"}};
  EXPECT_EQ(find_disagreement(All{more, fewer}),
            "max_steps: rank 0 has 3, rank 1 has nothing; all ranks need the same");
  EXPECT_EQ(find_disagreement(All{fewer, more}),
            "max_steps: rank 0 has nothing, rank 1 has 3; all ranks need the same");
}

}  // namespace
}  // namespace athanor

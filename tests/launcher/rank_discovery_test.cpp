#include "launcher/rank_discovery.h"

#include <gtest/gtest.h>

namespace athanor {
namespace {

TEST(TasksPerNode, IsTheLargestOfSlurmsList) {
  EXPECT_EQ(largest_tasks_per_node("4"), 4);
  EXPECT_EQ(largest_tasks_per_node("2(x3)"), 2);
  EXPECT_EQ(largest_tasks_per_node("2(x3),1"), 2);
  EXPECT_EQ(largest_tasks_per_node("1,16(x12),3"), 16);
}

TEST(TasksPerNode, OtherTextsAreNone) {
  for (const char* text : {"", "x", "2(x3", "2 1", "-1", "0", "2,", "(x3)"}) {
    EXPECT_FALSE(largest_tasks_per_node(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace athanor

#include "runtime/checkpoint/checkpoint_folder.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "runtime/checkpoint/output_lock.h"
#include "runtime/io/atomic_file.h"
#include "tests/support/temp_folder.h"

namespace athanor::testing {
namespace {

namespace fs = std::filesystem;

void stage(const TempFolder& output, int64_t step, const std::string& content) {
  fs::create_directories(staging_path(output.path(), step));
  write_file_atomic(staging_path(output.path(), step) / "file", content);
}

std::vector<int64_t> steps(const fs::path& output) {
  std::vector<int64_t> list;
  for (const FoundCheckpoint& found : list_checkpoints(output)) list.push_back(found.step);
  return list;
}

TEST(CheckpointFolder, ListsByStepAndNothingElse) {
  const TempFolder output;
  for (const char* name : {"checkpoint-9", "checkpoint-10", "checkpoint-2", "checkpoint-07",
                           "checkpoint-x", "checkpoint-3.old", ".checkpoint-11.saving"}) {
    fs::create_directories(output / name);
  }
  output.write("checkpoint-12", "a file");
  EXPECT_EQ(steps(output.path()), (std::vector<int64_t>{10, 9, 2}));
  EXPECT_TRUE(list_checkpoints(output / "none").empty());
}

TEST(CheckpointFolder, PublishingReplacesTheOneThatIsThere) {
  const TempFolder output;
  for (const char* content : {"old", "new"}) {
    stage(output, 5, content);
    publish_checkpoint(output.path(), 5);
    EXPECT_EQ(read_file(checkpoint_path(output.path(), 5) / "file", 100), content);
    EXPECT_FALSE(fs::exists(staging_path(output.path(), 5)));
  }
  EXPECT_EQ(steps(output.path()), std::vector<int64_t>{5});
}

TEST(CheckpointFolder, PruningKeepsTheNewest) {
  const TempFolder output;
  for (const int64_t step : {1, 2, 10}) {
    stage(output, step, "x");
    publish_checkpoint(output.path(), step);
  }
  EXPECT_EQ(prune_checkpoints(output.path(), 2, true).size(), 1u);
  EXPECT_EQ(steps(output.path()).size(), 3u);
  EXPECT_EQ(prune_checkpoints(output.path(), 2).size(), 1u);
  EXPECT_EQ(steps(output.path()), (std::vector<int64_t>{10, 2}));
  EXPECT_TRUE(prune_checkpoints(output.path(), 2).empty());
}

TEST(CheckpointFolder, PruneKeepsTheBestAmongThem) {
  using Steps = std::vector<int64_t>;
  const auto left = [](int64_t keep, int64_t best) {
    const TempFolder output;
    for (const int64_t step : {1, 2, 3, 4}) {
      stage(output, step, "x");
      publish_checkpoint(output.path(), step);
    }
    prune_checkpoints(output.path(), keep, false, best);
    return steps(output.path());
  };
  EXPECT_EQ(left(2, 1), (Steps{4, 1}));
  EXPECT_EQ(left(3, 1), (Steps{4, 3, 1}));
  EXPECT_EQ(left(3, 3), (Steps{4, 3, 2}));
  EXPECT_EQ(left(3, 2), (Steps{4, 3, 2}));
  EXPECT_EQ(left(1, 2), (Steps{4, 2})) << "the newest one stays in any case";
  EXPECT_EQ(left(1, 4), (Steps{4}));
  EXPECT_EQ(left(2, 9), (Steps{4, 3})) << "there is no such one";
}

TEST(CheckpointFolder, NewerOnesLoseTheirNameNotTheirContent) {
  const TempFolder output;
  for (const int64_t step : {1, 2, 3}) {
    stage(output, step, "x");
    publish_checkpoint(output.path(), step);
  }
  EXPECT_EQ(set_newer_aside(output.path(), 1).size(), 2u);
  EXPECT_EQ(steps(output.path()), std::vector<int64_t>{1});
  EXPECT_EQ(read_file(output / "checkpoint-3.abandoned/file", 100), "x");
}

TEST(CheckpointFolder, LeftoversOfACrashGo) {
  const TempFolder output;
  stage(output, 3, "half");
  stage(output, 4, "x");
  publish_checkpoint(output.path(), 4);
  fs::create_directories(output / ".checkpoint-2.removed");
  remove_leftovers(output.path());
  EXPECT_EQ(std::distance(fs::directory_iterator(output.path()), fs::directory_iterator()), 1);
  EXPECT_EQ(steps(output.path()), std::vector<int64_t>{4});
}

// flock belongs to the open file: two in one process exclude one another, too.
TEST(OutputLock, RefusesTheSecondAndNamesTheFirst) {
  const TempFolder output;
  check_not_in_use(output.path());
  {
    const OutputLock first(output.path());
    for (const bool look_only : {false, true}) {
      try {
        if (look_only) {
          check_not_in_use(output.path());
        } else {
          const OutputLock second(output.path());
        }
        FAIL() << "the folder was taken twice";
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kConfig);
        const std::string process = "process " + std::to_string(::getpid());
        EXPECT_NE(error.message().find(process), std::string::npos) << error.message();
      }
    }
  }
  check_not_in_use(output.path());
  const OutputLock again(output.path());
}

}  // namespace
}  // namespace athanor::testing

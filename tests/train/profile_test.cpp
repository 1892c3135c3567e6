// A profiled stream does what its inner stream does, and notes each operation once.
#include "runtime/train/profile.h"

#include <gtest/gtest.h>

#include <thread>

#include "core/buffer.h"
#include "runtime/train/session.h"

namespace athanor::testing {
namespace {

class Profile : public ::testing::TestWithParam<bool> {};

TEST_P(Profile, NotesEachOperationInOrderAndPassesItOn) {
  HostAllocator memory(Tier::kHost);
  ThreadPool pool(1, memory, kAlignment);
  ImmediateStream immediate(pool);
  FifoStream fifo(pool);
  Stream& inner = GetParam() ? static_cast<Stream&>(fifo) : immediate;
  ProfilingStream stream(inner, ProfilingStream::Clock::now());
  int64_t value = 1;
  int64_t* at = &value;
  stream.submit(Cost{"double", 1, 2, 3}, [=](ExecContext&) { *at *= 2; });
  stream.submit(Cost{"add", 4, 5, 6}, [=](ExecContext&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    *at += 3;
  });
  stream.synchronize();
  EXPECT_EQ(value, 5);
  ASSERT_EQ(stream.operations().size(), 2u);
  const TimedOperation& first = stream.operations()[0];
  const TimedOperation& second = stream.operations()[1];
  EXPECT_STREQ(first.cost.name, "double");
  EXPECT_EQ(second.cost.bytes_written, 6);
  EXPECT_LE(first.end_seconds, second.start_seconds);
  EXPECT_GE(second.end_seconds - second.start_seconds, 0.002);
  stream.clear();
  EXPECT_TRUE(stream.operations().empty());
}

TEST_P(Profile, CountsWhatItHasNoRoomFor) {
  HostAllocator memory(Tier::kHost);
  ThreadPool pool(1, memory, kAlignment);
  ImmediateStream immediate(pool);
  FifoStream fifo(pool);
  ProfilingStream stream(GetParam() ? static_cast<Stream&>(fifo) : immediate,
                         ProfilingStream::Clock::now());
  for (size_t i = 0; i < ProfilingStream::kCapacity + 7; ++i) {
    stream.submit(Cost{"nothing"}, [](ExecContext&) {});
  }
  stream.synchronize();
  EXPECT_EQ(stream.operations().size(), ProfilingStream::kCapacity);
  EXPECT_EQ(stream.dropped(), 7);
}

INSTANTIATE_TEST_SUITE_P(Streams, Profile, ::testing::Bool());

TEST(ProfileTable, SharesOfTheLimitAreFloorOverTime) {
  Machine machine;
  machine.f32_flops = 100;
  machine.memory_bandwidth = 10;
  machine.network_bandwidth = 1;
  Timeline timeline;
  timeline.tracks.push_back(
      {"compute", {{{"product", 50, 1, 1}, 0, 1}, {{"copy", 0, 5, 5}, 1, 5}}});
  timeline.tracks.push_back({"communication", {{{"all_gather", 0, 1, 3}, 0, 4}}});
  const std::string table = profile_table(timeline, machine, DType::kF32);
  EXPECT_NE(table.find("50.0 %\n"), std::string::npos) << table;  // product: 0.5 s of 1 s
  EXPECT_NE(table.find("25.0 %\n"), std::string::npos) << table;  // copy: 1 s of 4 s
  EXPECT_NE(table.find("75.0 %\n"), std::string::npos) << table;  // all_gather: 3 s of 4 s
  EXPECT_LT(table.find("copy"), table.find("product")) << table;  // the longest first
}

}  // namespace
}  // namespace athanor::testing

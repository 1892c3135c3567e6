// Who owns bytes, and what is counted.
#include "core/buffer.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace athanor {
namespace {

TEST(Allocator, CountsCurrentPeakAndCalls) {
  HostAllocator allocator(Tier::kHost);
  {
    Buffer first(allocator, 1);
    EXPECT_EQ(allocator.stats().current_bytes, 256);
    Buffer second(allocator, 257);
    EXPECT_EQ(allocator.stats().current_bytes, 256 + 512);
    second.reset();
    EXPECT_EQ(allocator.stats().current_bytes, 256);
    EXPECT_EQ(allocator.stats().peak_bytes, 256 + 512);
  }
  EXPECT_EQ(allocator.stats().current_bytes, 0);
  EXPECT_EQ(allocator.stats().peak_bytes, 256 + 512);
  EXPECT_EQ(allocator.stats().allocations, 2);
}

TEST(Allocator, TooMuchIsAnErrorThatNamesTheTier) {
  HostAllocator allocator(Tier::kHost);
  try {
    Buffer buffer(allocator, int64_t{1} << 60);
    FAIL() << "2^60 bytes were allocated";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDoesNotFit);
    EXPECT_NE(error.message().find(tier_name(Tier::kHost)), std::string::npos);
  }
  EXPECT_EQ(allocator.stats().current_bytes, 0);
  EXPECT_THROW(allocator.allocate(-1), Error);
}

TEST(HostAllocator, HandsOutAlignedZeros) {
  HostAllocator allocator(Tier::kHost);
  for (int64_t bytes : {0, 1, 4096, 100'000}) {
    Buffer buffer(allocator, bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % kAlignment, 0u);
    for (int64_t i = 0; i < bytes; ++i) ASSERT_EQ(buffer.data()[i], std::byte{0});
  }
}

TEST(PlanAllocator, GivesDistinctAddressesThatCannotBeTouched) {
  PlanAllocator allocator(Tier::kDevice);
  Buffer large(allocator, int64_t{1} << 38);  // more than any memory here
  Buffer other(allocator, 1000);
  EXPECT_TRUE(other.data() < large.data() || other.data() >= large.data() + large.bytes());
  EXPECT_EQ(allocator.stats().current_bytes, (int64_t{1} << 38) + 1024);
  EXPECT_DEATH(*reinterpret_cast<volatile char*>(other.data()) = 1, "");
}

TEST(Buffer, MovesItsOwnership) {
  HostAllocator allocator(Tier::kHost);
  Buffer first(allocator, 100);
  std::byte* data = first.data();
  Buffer second = std::move(first);
  EXPECT_FALSE(first.defined());  // NOLINT: the moved-from state is what is tested
  EXPECT_EQ(second.data(), data);
  Buffer third(allocator, 50);
  third = std::move(second);
  EXPECT_EQ(third.data(), data);
  EXPECT_EQ(third.bytes(), 100);
  EXPECT_EQ(allocator.stats().current_bytes, 256);
}

TEST(Buffer, ViewsStayInside) {
  HostAllocator allocator(Tier::kHost);
  Buffer buffer(allocator, 64);
  EXPECT_EQ(buffer.view(DType::kF32, {4, 4}).raw(), buffer.data());
  EXPECT_EQ(buffer.view(DType::kBF16, {8}, 48).raw(), buffer.data() + 48);
  EXPECT_THROW(buffer.view(DType::kF32, {17}), Error);
  EXPECT_THROW(buffer.view(DType::kF32, {1}, 61), Error);
  EXPECT_THROW(buffer.view(DType::kF32, {1}, -4), Error);
}

// The calls a user makes of an arena, nested scopes included.
std::vector<int64_t> walk(Arena& arena) {
  std::vector<int64_t> offsets;
  const auto* base = static_cast<std::byte*>(arena.take(DType::kU8, {1}).raw());
  const auto take = [&](int64_t n) {
    offsets.push_back(static_cast<std::byte*>(arena.take(DType::kF32, {n}).raw()) - base);
  };
  take(10);
  {
    ArenaScope scope(arena);
    take(1000);
    {
      ArenaScope inner(arena);
      take(3000);
    }
    take(1);
  }
  take(64);
  return offsets;
}

TEST(Arena, GivesBackInStackOrder) {
  HostAllocator allocator(Tier::kHost);
  Arena arena(allocator, 1 << 20);
  // A scope's end gives back, so that what follows reuses the place.
  EXPECT_EQ(walk(arena), (std::vector<int64_t>{256, 512, 512 + 4096, 512 + 4096, 512}));
  EXPECT_EQ(arena.used(), 256 + 256 + 256);
  EXPECT_EQ(arena.peak(), 512 + 4096 + align_up(12000));
}

TEST(Arena, MeasuringTellsTheCapacityThatIsJustEnough) {
  Arena measuring;
  walk(measuring);
  HostAllocator allocator(Tier::kHost);
  Arena enough(allocator, measuring.peak());
  walk(enough);
  EXPECT_EQ(enough.peak(), measuring.peak());
  Arena small(allocator, measuring.peak() - kAlignment);
  EXPECT_THROW(walk(small), Error);
}

}  // namespace
}  // namespace athanor

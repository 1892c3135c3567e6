// Order, errors and costs of the three kinds of stream.
#include "core/stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "core/error.h"

namespace athanor {
namespace {

struct Pool {
  HostAllocator allocator{Tier::kHost};
  ThreadPool pool{1, allocator, 1000};
};

// What a closure waits for, so that tests decide when it ends.
struct Gate {
  std::atomic<bool> open{false};
  void wait() const {
    while (!open) std::this_thread::yield();
  }
};

void fail(Stream& stream, const char* message) {
  stream.submit(Cost{"fail"}, [message](ExecContext&) { throw Error(ErrorKind::kIo, message); });
}

template <class Call>
void expect_error(const char* message, const Call& call) {
  try {
    call();
    ADD_FAILURE() << "no error, expected: " << message;
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), message);
  }
}

TEST(ImmediateStream, RunsAtOnce) {
  Pool p;
  ImmediateStream stream(p.pool);
  double value = 0;
  double* out = &value;
  stream.submit(Cost{"set"}, [out](ExecContext& context) {
    const ThreadPool& pool = context.pool;
    *out = pool.size() + 1;
  });
  EXPECT_EQ(value, 2);
  EXPECT_EQ(stream.read_scalar(&value, 9), 2);
  expect_error("broken", [&] { fail(stream, "broken"); });
}

TEST(FifoStream, RunsInOrderThroughAFullRing) {
  Pool p;
  std::vector<int> order;
  {
    FifoStream stream(p.pool);
    std::vector<int>* out = &order;
    for (int i = 0; i < 1000; ++i) {
      stream.submit(Cost{"push"}, [out, i](ExecContext&) { out->push_back(i); });
    }
    stream.synchronize();
    EXPECT_EQ(order.size(), 1000u);
  }
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(FifoStream, EndsAfterWhatWasSubmitted) {
  Pool p;
  std::atomic<int> runs{0};
  {
    FifoStream stream(p.pool);
    std::atomic<int>* out = &runs;
    for (int i = 0; i < 50; ++i) stream.submit(Cost{"add"}, [out](ExecContext&) { ++*out; });
  }
  EXPECT_EQ(runs, 50);
}

TEST(FifoStream, AnEventHoldsBackAnotherStream) {
  Pool p;
  Gate gate;
  std::atomic<int> value{0};
  const Gate* wait_for = &gate;
  std::atomic<int>* out = &value;
  FifoStream first(p.pool);
  FifoStream second(p.pool);
  first.submit(Cost{"slow"}, [=](ExecContext&) {
    wait_for->wait();
    *out = 1;
  });
  second.wait(first.record());
  second.submit(Cost{"after"}, [=](ExecContext&) { *out = *out * 10 + 2; });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(value, 0);
  gate.open = true;
  second.synchronize();
  EXPECT_EQ(value, 12);
}

TEST(FifoStream, AnImmediateStreamWaitsForAnEvent) {
  Pool p;
  std::atomic<int> value{0};
  std::atomic<int>* out = &value;
  FifoStream fifo(p.pool);
  ImmediateStream immediate(p.pool);
  fifo.submit(Cost{"slow"}, [out](ExecContext&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    *out = 1;
  });
  immediate.wait(fifo.record());
  EXPECT_EQ(value, 1);
  immediate.wait(Event{});
  fifo.wait(Event{});
}

TEST(FifoStream, KeepsItsFirstErrorAndRunsNothingAfterIt) {
  Pool p;
  std::atomic<int> runs{0};
  std::atomic<int>* out = &runs;
  Gate gate;
  const Gate* wait_for = &gate;
  FifoStream stream(p.pool);
  stream.submit(Cost{"gate"}, [=](ExecContext&) { wait_for->wait(); });
  fail(stream, "first");
  fail(stream, "second");
  stream.submit(Cost{"add"}, [out](ExecContext&) { ++*out; });
  gate.open = true;
  expect_error("first", [&] { stream.synchronize(); });
  expect_error("first", [&] { stream.submit(Cost{"add"}, [out](ExecContext&) { ++*out; }); });
  expect_error("first", [&] { stream.synchronize(); });
  double unused = 0;
  expect_error("first", [&] { stream.read_scalar(&unused, 0); });
  EXPECT_EQ(runs, 0);
}

TEST(FifoStream, AnErrorReachesWhoWaitsForItsEvents) {
  Pool p;
  FifoStream first(p.pool);
  FifoStream second(p.pool);
  ImmediateStream immediate(p.pool);
  fail(first, "lost");
  const Event event = first.record();
  second.wait(event);
  expect_error("lost", [&] { second.synchronize(); });
  expect_error("lost", [&] { immediate.wait(event); });
}

TEST(FifoStream, AnErrorFreesWhoWaitsForAFullRing) {
  Pool p;
  FifoStream stream(p.pool);
  stream.submit(Cost{"slow"}, [](ExecContext&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    throw Error(ErrorKind::kIo, "late");
  });
  expect_error("late", [&] {
    for (int i = 0; i < 1000; ++i) stream.submit(Cost{"nothing"}, [](ExecContext&) {});
  });
}

TEST(FifoStream, ReadsAScalarAfterItIsWritten) {
  Pool p;
  FifoStream stream(p.pool);
  double value = 0;
  double* out = &value;
  stream.submit(Cost{"set"}, [out](ExecContext&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    *out = 7;
  });
  EXPECT_EQ(stream.read_scalar(&value, 0), 7);
}

TEST(CountingStream, SumsByNameAndRunsNothing) {
  CountingStream stream;
  bool ran = false;
  bool* out = &ran;
  const auto closure = [out](ExecContext&) { *out = true; };
  const char other_literal[] = "matmul";  // the same text at another address
  stream.submit(Cost{"matmul", 10, 20, 30}, closure);
  stream.submit(Cost{other_literal, 1, 2, 3}, closure);
  stream.submit(Cost{"add", 5, 6, 7}, closure);
  stream.wait(stream.record());
  EXPECT_FALSE(ran);
  const auto sums = stream.sums();
  ASSERT_EQ(sums.size(), 2u);
  EXPECT_EQ(sums.at("matmul").count, 2);
  EXPECT_EQ(sums.at("matmul").flops, 11);
  EXPECT_EQ(sums.at("matmul").bytes_read, 22);
  EXPECT_EQ(sums.at("matmul").bytes_written, 33);
  EXPECT_EQ(stream.total().count, 3);
  EXPECT_EQ(stream.total().bytes_read, 28);
  const double* nowhere = nullptr;
  EXPECT_EQ(stream.read_scalar(nowhere, 4.5), 4.5);
  stream.clear();
  EXPECT_EQ(stream.total().count, 0);
}

}  // namespace
}  // namespace athanor

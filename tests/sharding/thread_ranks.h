// Ranks as threads inside one test: each has memory, streams and a communicator of its own, as in a
// run. The first cause of a failure is thrown in the test's thread, not what other ranks noticed.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "core/buffer.h"
#include "core/error.h"
#include "core/stream.h"
#include "core/thread_pool.h"
#include "sharding/comm/thread_communicator.h"
#include "sharding/param_store.h"

namespace athanor::testing {

// One rank with a single compute thread, allocated in the order of a run (CpuDevice).
struct TestRank {
  TestRank(ThreadGroup& group, int rank)
      : memory(Tier::kDevice),
        pool(1, memory, int64_t{4} << 20),
        communication_pool(1, memory, kAlignment),
        storage_pool(1, memory, kAlignment),
        compute(pool),
        communication(communication_pool),
        storage(storage_pool),
        communicator(make_thread_communicator(group, rank)) {}

  StoreContext context() { return {memory, compute, communication, *communicator, &storage}; }
  int rank() const { return communicator->rank(); }

  HostAllocator memory;
  ThreadPool pool;
  ThreadPool communication_pool;
  ThreadPool storage_pool;
  ImmediateStream compute;
  FifoStream communication;
  FifoStream storage;
  std::unique_ptr<Communicator> communicator;
};

// What each rank's body threw, or null.
inline std::vector<std::exception_ptr> run_ranks_catching(
    int world, const std::function<void(TestRank&)>& body) {
  ThreadGroup group(world);
  std::vector<std::exception_ptr> errors(static_cast<size_t>(world));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        TestRank self(group, rank);
        try {
          body(self);
        } catch (const std::exception& error) {
          self.communicator->abort(error.what(), 1);
          throw;
        }
      } catch (...) {
        errors[static_cast<size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

inline void run_ranks(int world, const std::function<void(TestRank&)>& body) {
  std::exception_ptr first;
  for (const std::exception_ptr& error : run_ranks_catching(world, body)) {
    if (!error) continue;
    if (!first) first = error;
    try {
      std::rethrow_exception(error);
    } catch (const Error& cause) {
      if (cause.kind() != ErrorKind::kLostPeer) throw;
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace athanor::testing

// Streams and events of the fake. Operations wait in queues and run only inside calls of the API,
// by the thread that calls, in an order that the policy picks among those that streams and events
// allow.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "tests/fake_cuda/runtime/block.h"
#include "tests/fake_cuda/runtime/sanitizer.h"

struct CUevent_st {
  uint64_t recorded = 0;
  uint64_t done = 0;
  alignas(8) char tag[8] = {};
};

struct CUstream_st {
  struct Operation {
    std::function<void(CUstream_st&)> run;
    std::function<bool()> can_run;  // empty: always
    std::unique_ptr<char[]> tag;    // order between the call that enqueued it and the operation
    bool on_host = false;           // runs without the lock and with device memory closed
  };
  int id = 0;
  std::deque<Operation> queue;
  bool busy = false;  // its host function runs
  fake_cuda::BlockRunner runner;
  fake_cuda::sanitizer::Fiber fiber;
  alignas(8) char tag[8] = {};

  bool idle() const { return queue.empty() && !busy; }
  bool can_run() const {
    return !busy && !queue.empty() && (!queue.front().can_run || queue.front().can_run());
  }
};

namespace fake_cuda {

using Lock = std::unique_lock<std::mutex>;

CUstream_st* create_stream();
void destroy_stream(Lock& lock, CUstream_st* stream);
// Fails for the default stream and for one that is gone.
CUstream_st& checked(CUstream_st* stream);
void enqueue(Lock& lock, CUstream_st& stream, std::function<void(CUstream_st&)> run,
             std::function<bool()> can_run = {}, bool on_host = false);
// Runs operations until done(), as the policy says; `wanted` is the stream that is waited for.
void run_until(Lock& lock, const std::function<bool()>& done, const CUstream_st* wanted);
void synchronize(Lock& lock, CUstream_st& stream);
void synchronize_all(Lock& lock);

}  // namespace fake_cuda

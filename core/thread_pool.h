// ThreadPool: the only threads that compute. Tasks are claimed dynamically, so no result may depend
// on which worker runs which task: the order of every sum is fixed inside a task.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include "core/buffer.h"

namespace athanor {

class ThreadPool {
 public:
  // `threads` counts the caller; scratch is allocated once per thread from `allocator`.
  ThreadPool(int threads, Allocator& allocator, int64_t scratch_bytes_per_thread);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }
  int64_t scratch_bytes() const { return scratch_bytes_; }

  // Memory that belongs to one worker while its task runs; contents are undefined.
  std::byte* scratch(int worker) const { return scratch_.data() + worker * scratch_bytes_; }

  // Calls body(task, worker) for each task in [0, tasks); returns when all are done. The first
  // exception is rethrown. Not reentrant.
  template <class Body>
  void parallel_for(int64_t tasks, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run(
        tasks,
        [](void* self, int64_t task, int worker) { (*static_cast<Plain*>(self))(task, worker); },
        const_cast<std::remove_const_t<Plain>*>(&body));
  }

 private:
  using Call = void (*)(void* body, int64_t task, int worker);
  void run(int64_t tasks, Call call, void* body);
  void work(int worker);
  void loop(int worker);

  int64_t scratch_bytes_;
  Buffer scratch_;
  Call call_ = nullptr;
  void* body_ = nullptr;
  int64_t tasks_ = 0;
  std::atomic<int64_t> next_{0};
  std::atomic<uint32_t> generation_{0};
  std::atomic<int> running_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  std::vector<std::thread> workers_;
};

}  // namespace athanor

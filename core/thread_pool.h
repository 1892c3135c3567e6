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

  // Each thread, the caller of pin as the first one, stays on its entry of cpus. Threads that the
  // caller makes from now on begin there, too.
  void pin(const std::vector<int>& cpus);

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
  void work(uint32_t generation, int worker);
  void loop(int worker);

  // A claim is one increment of (generation << 32 | next task). A worker that wakes late finds
  // another generation and claims nothing, so run() waits for tasks, never for workers to wake up:
  // on a busy machine the caller does all the work itself.
  static constexpr int kTaskBits = 32;
  static constexpr uint64_t kClosed = 0xffffffff;  // as next task: there is none

  int64_t scratch_bytes_;
  Buffer scratch_;
  std::atomic<uint64_t> claim_{0};
  std::atomic<Call> call_{nullptr};
  std::atomic<void*> body_{nullptr};
  std::atomic<int64_t> tasks_{0};
  std::atomic<int32_t> completed_{0};  // as wide as a futex
  std::atomic<uint32_t> wake_{0};      // the generation, as workers wait for it
  std::atomic<bool> stop_{false};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  std::vector<std::thread> workers_;
};

}  // namespace athanor

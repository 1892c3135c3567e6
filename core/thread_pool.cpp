// Workers sleep on a generation counter (a futex after a short spin) and claim tasks from one
// atomic.
#include "core/thread_pool.h"

#include <pthread.h>

#include <exception>

#include "core/cores.h"
#include "core/error.h"

namespace athanor {
namespace {

constexpr int kSpins = 2000;  // about 20 us: operations follow one another closely

template <class T>
void wait_until_changed(const std::atomic<T>& value, T old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads, Allocator& allocator, int64_t scratch_bytes_per_thread)
    : scratch_bytes_(align_up(scratch_bytes_per_thread)),
      scratch_(allocator, scratch_bytes_ * threads) {
  ATHANOR_CHECK(threads >= 1, "a pool has at least one thread");
  for (int worker = 1; worker < threads; ++worker) {
    workers_.emplace_back([this, worker] { loop(worker); });
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  wake_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::pin(const std::vector<int>& cpus) {
  ATHANOR_CHECK(narrow<int>(cpus.size()) == size(), "a CPU for each thread");
  for (size_t i = 0; i < workers_.size(); ++i) {
    pin_thread(workers_[i].native_handle(), cpus[i + 1]);
  }
  pin_thread(::pthread_self(), cpus[0]);
}

void ThreadPool::run(int64_t tasks, Call call, void* body) {
  if (tasks <= 0) return;
  if (workers_.empty() || tasks == 1) {
    for (int64_t task = 0; task < tasks; ++task) call(body, task, 0);
    return;
  }
  const auto count = narrow<int32_t>(tasks);
  const uint32_t generation = wake_.load(std::memory_order_relaxed) + 1;
  claim_.store(uint64_t{generation} << kTaskBits | kClosed, std::memory_order_relaxed);
  call_.store(call, std::memory_order_release);
  body_.store(body, std::memory_order_release);
  tasks_.store(tasks, std::memory_order_release);
  completed_.store(0, std::memory_order_relaxed);
  failed_.store(false, std::memory_order_relaxed);
  claim_.store(uint64_t{generation} << kTaskBits, std::memory_order_release);
  wake_.store(generation, std::memory_order_release);
  wake_.notify_all();
  work(generation, 0);
  for (int32_t done = completed_.load(std::memory_order_acquire); done != count;
       done = completed_.load(std::memory_order_acquire)) {
    wait_until_changed(completed_, done);
  }
  if (failed_.load(std::memory_order_acquire)) std::rethrow_exception(error_);
}

void ThreadPool::work(uint32_t generation, int worker) {
  uint64_t claim = claim_.load(std::memory_order_acquire);
  while (claim >> kTaskBits == generation) {
    const Call call = call_.load(std::memory_order_acquire);
    void* body = body_.load(std::memory_order_acquire);
    const int64_t tasks = tasks_.load(std::memory_order_acquire);
    const auto task = static_cast<int64_t>(claim & kClosed);
    if (task >= tasks) return;
    // Fails if the loop is another one by now, so what was read above belongs to this claim.
    if (!claim_.compare_exchange_weak(claim, claim + 1, std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
      continue;
    }
    try {
      call(body, task, worker);
    } catch (...) {
      if (!failed_.exchange(true)) error_ = std::current_exception();
    }
    if (completed_.fetch_add(1, std::memory_order_acq_rel) + 1 == tasks) completed_.notify_all();
    claim = claim_.load(std::memory_order_acquire);
  }
}

void ThreadPool::loop(int worker) {
  uint32_t seen = 0;
  while (true) {
    wait_until_changed(wake_, seen);
    seen = wake_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    work(seen, worker);
  }
}

}  // namespace athanor

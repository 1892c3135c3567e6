// Workers sleep on a generation counter (a futex after a short spin) and claim tasks from one
// atomic.
#include "core/thread_pool.h"

#include <exception>

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
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int64_t tasks, Call call, void* body) {
  if (tasks <= 0) return;
  if (workers_.empty() || tasks == 1) {
    for (int64_t task = 0; task < tasks; ++task) call(body, task, 0);
    return;
  }
  call_ = call;
  body_ = body;
  tasks_ = tasks;
  failed_.store(false, std::memory_order_relaxed);
  next_.store(0, std::memory_order_relaxed);
  running_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  work(0);
  for (int left = running_.load(std::memory_order_acquire); left != 0;
       left = running_.load(std::memory_order_acquire)) {
    wait_until_changed(running_, left);
  }
  if (failed_.load(std::memory_order_acquire)) std::rethrow_exception(error_);
}

void ThreadPool::work(int worker) {
  for (int64_t task = next_.fetch_add(1); task < tasks_; task = next_.fetch_add(1)) {
    try {
      call_(body_, task, worker);
    } catch (...) {
      if (!failed_.exchange(true)) error_ = std::current_exception();
    }
  }
}

void ThreadPool::loop(int worker) {
  uint32_t seen = 0;
  while (true) {
    wait_until_changed(generation_, seen);
    ++seen;
    if (stop_.load()) return;
    work(worker);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace athanor

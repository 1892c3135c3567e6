// Threads that call pread and pwrite: for systems where io_uring is refused.
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "core/cores.h"
#include "core/error.h"
#include "sharding/tier/io_queue.h"

namespace athanor {
namespace {

// Signals are for the threads that the program's handlers know; a new thread inherits the mask.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigdelset(&all, fault);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

int64_t transfer(const IoRequest& request) {
  const auto bytes = static_cast<size_t>(request.bytes);
  const ssize_t moved = request.write ? ::pwrite(request.fd, request.memory, bytes, request.offset)
                                      : ::pread(request.fd, request.memory, bytes, request.offset);
  return moved < 0 ? -errno : moved;
}

class ThreadQueue final : public IoQueue {
 public:
  explicit ThreadQueue(int threads) {
    const SignalsBlocked blocked;
    try {
      for (int i = 0; i < threads; ++i) workers_.emplace_back([this] { loop(); });
    } catch (const std::system_error& error) {
      stop();
      throw Error(ErrorKind::kIo,
                  std::string("cannot start a thread for disk I/O: ") + error.code().message());
    }
  }
  ~ThreadQueue() override { stop(); }

  const char* name() const override { return "threads"; }

  int submit(const IoRequest& request, int slot) noexcept override {
    try {
      std::lock_guard lock(mutex_);
      waiting_.push_back({request, slot});
    } catch (const std::bad_alloc&) {
      return ENOMEM;
    }
    work_cv_.notify_one();
    return 0;
  }

  IoCompletion wait() noexcept override {
    std::unique_lock lock(mutex_);
    done_cv_.wait(lock, [this] { return !done_.empty(); });
    const IoCompletion completion = done_.front();
    done_.pop_front();
    return completion;
  }

 private:
  struct Waiting {
    IoRequest request;
    int slot;
  };

  void loop() {
    float_this_thread();  // its maker may be a pinned thread
    std::unique_lock lock(mutex_);
    while (true) {
      work_cv_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      const Waiting work = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      const int64_t result = transfer(work.request);
      lock.lock();
      done_.push_back({work.slot, result});
      done_cv_.notify_one();
    }
  }

  void stop() noexcept {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    work_cv_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  std::mutex mutex_;
  std::condition_variable work_cv_;
  std::condition_variable done_cv_;
  std::deque<Waiting> waiting_;
  std::deque<IoCompletion> done_;
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace

std::unique_ptr<IoQueue> make_thread_queue(int threads) {
  return std::make_unique<ThreadQueue>(threads);
}

}  // namespace athanor

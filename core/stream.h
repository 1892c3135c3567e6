// Stream: the door through which every operation goes. An operation checks its shapes and submits a
// Cost with a trivially copyable closure; what happens then is the stream's kind:
//   ImmediateStream  calls it at once on the thread pool (CPU compute)
//   FifoStream       runs it later, in order, on a thread of its own (communication, copies)
//   CountingStream   records the cost and drops the closure (plan)
// and a CUDA device has its own kind (core/cuda_device.h).
// A stream keeps its first Error and throws it at the next submit, wait or synchronize.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "core/thread_pool.h"

namespace athanor {

// What an operation costs: the basis of plans and of achieved rates.
struct Cost {
  const char* name = "";  // a string literal
  double flops = 0;
  int64_t bytes_read = 0;
  int64_t bytes_written = 0;
};

// The threads that an operation of the CPU runs on. A stream of another device has none: what is
// only implemented for the CPU is refused there when it asks for them.
class CpuPool {
 public:
  CpuPool() = default;
  CpuPool(ThreadPool& pool) : pool_(&pool) {}  // NOLINT: a pool is a pool
  operator ThreadPool&() const;                // NOLINT

 private:
  ThreadPool* pool_ = nullptr;
};

struct CudaQueue;

// What a closure runs with: threads, or the queue of a GPU.
struct ExecContext {
  CpuPool pool;
  CudaQueue* cuda = nullptr;
};

class Stream;

// A point in a stream's order. Default-constructed: already passed.
struct Event {
  Stream* stream = nullptr;
  uint64_t ticket = 0;
};

class Stream {
 public:
  static constexpr size_t kClosureBytes = 1024;

  virtual ~Stream() = default;

  template <class Closure>
  void submit(const Cost& cost, Closure closure) {
    static_assert(std::is_trivially_copyable_v<Closure>, "closures capture by value");
    static_assert(sizeof(Closure) <= kClosureBytes, "closure too large for a stream slot");
    enqueue(
        cost, [](void* self, ExecContext& context) { (*static_cast<Closure*>(self))(context); },
        &closure, sizeof(Closure));
  }

  // The point after everything submitted so far.
  virtual Event record() = 0;
  // What is submitted from now on runs after `event` has passed.
  virtual void wait(const Event& event) = 0;
  // Returns when everything submitted so far is done.
  virtual void synchronize() = 0;
  // Blocks the caller until `ticket` of this stream has passed.
  virtual void wait_for(uint64_t ticket) = 0;
  // The one way from device values to host control flow: synchronises and reads *value; a counting
  // stream returns `nominal`.
  virtual double read_scalar(const double* value, double nominal) = 0;

 protected:
  using Call = void (*)(void* closure, ExecContext& context);
  virtual void enqueue(const Cost& cost, Call call, void* closure, size_t bytes) = 0;
};

class ImmediateStream final : public Stream {
 public:
  explicit ImmediateStream(ThreadPool& pool) : context_{pool, nullptr} {}

  Event record() override { return {}; }
  void wait(const Event& event) override;
  void synchronize() override {}
  void wait_for(uint64_t) override {}
  double read_scalar(const double* value, double) override { return *value; }

 protected:
  void enqueue(const Cost&, Call call, void* closure, size_t) override { call(closure, context_); }

 private:
  ExecContext context_;
};

// In order on a thread of its own. The ring has fixed slots: submitting never allocates, and blocks
// while the ring is full.
class FifoStream final : public Stream {
 public:
  explicit FifoStream(ThreadPool& pool);
  ~FifoStream() override;

  Event record() override;
  void wait(const Event& event) override;
  void synchronize() override;
  void wait_for(uint64_t ticket) override;
  double read_scalar(const double* value, double nominal) override;

 protected:
  void enqueue(const Cost& cost, Call call, void* closure, size_t bytes) override;

 private:
  static constexpr size_t kSlots = 64;
  struct Slot {
    Call call = nullptr;
    alignas(16) std::array<std::byte, kClosureBytes> closure;
  };
  void loop();

  ExecContext context_;
  std::mutex mutex_;
  std::condition_variable submitted_cv_;
  std::condition_variable done_cv_;
  std::unique_ptr<std::array<Slot, kSlots>> slots_;
  uint64_t submitted_ = 0;
  uint64_t done_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

// Sums of what went through a stream, by operation name.
struct CostSum {
  int64_t count = 0;
  double flops = 0;
  int64_t bytes_read = 0;
  int64_t bytes_written = 0;
};

class CountingStream final : public Stream {
 public:
  Event record() override { return {}; }
  void wait(const Event&) override {}
  void synchronize() override {}
  void wait_for(uint64_t) override {}
  double read_scalar(const double*, double nominal) override { return nominal; }

  // By name; names are compared as text.
  std::map<std::string, CostSum> sums() const;
  CostSum total() const;
  void clear() { costs_.clear(); }

 protected:
  void enqueue(const Cost& cost, Call, void*, size_t) override;

 private:
  std::map<const char*, CostSum> costs_;  // by literal address: no allocation per submit
};

}  // namespace athanor

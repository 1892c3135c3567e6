// The measured counterpart of a planned timeline: a stream that passes everything on and notes when
// each operation really ran, and a table of what the operations reached of the machine's limits.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/stream.h"
#include "runtime/train/machine.h"
#include "runtime/train/timeline.h"

namespace athanor {

// Decorates any stream. All memory is reserved up front; operations beyond the capacity are counted
// and not noted. Only the thread that runs the inner stream's operations writes the notes.
class ProfilingStream final : public Stream {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kCapacity = 100000;

  ProfilingStream(Stream& inner, Clock::time_point start) : inner_(inner), start_(start) {
    operations_.reserve(kCapacity);
  }

  Event record() override { return inner_.record(); }
  void wait(const Event& event) override { inner_.wait(event); }
  void synchronize() override { inner_.synchronize(); }
  void wait_for(uint64_t ticket) override { inner_.wait_for(ticket); }
  double read_scalar(const double* value, double nominal) override {
    return inner_.read_scalar(value, nominal);
  }

  // After synchronize.
  const std::vector<TimedOperation>& operations() const { return operations_; }
  int64_t dropped() const { return dropped_; }
  // Forgets what ran so far. After synchronize.
  void clear() {
    operations_.clear();
    dropped_ = 0;
  }

 protected:
  void enqueue(const Cost& cost, Call call, void* closure, size_t bytes) override;

 private:
  struct Timed;
  void note(const Cost& cost, Clock::time_point begin, Clock::time_point end);

  Stream& inner_;
  Clock::time_point start_;
  std::vector<TimedOperation> operations_;
  int64_t dropped_ = 0;
};

// One line an operation, the longest first: count, time, share of the stream's time, FLOP/s,
// bytes/s, and which share of the machine's limit that is: the time it needs at the machine's rates
// over the time it took; above 100 % where operands were in a cache.
std::string profile_table(const Timeline& timeline, const Machine& machine, DType dtype);

}  // namespace athanor

#include "core/stream.h"

#include "core/error.h"

namespace athanor {

CpuPool::operator ThreadPool&() const {
  ATHANOR_CHECK(pool_ != nullptr, "this operation is implemented for the CPU only");
  return *pool_;
}

void ImmediateStream::wait(const Event& event) {
  if (event.stream != nullptr) event.stream->wait_for(event.ticket);
}

FifoStream::FifoStream(ThreadPool& pool)
    : context_{pool, nullptr}, slots_(std::make_unique<std::array<Slot, kSlots>>()) {
  thread_ = std::thread([this] { loop(); });
}

FifoStream::~FifoStream() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  submitted_cv_.notify_all();
  thread_.join();
}

Event FifoStream::record() {
  std::lock_guard lock(mutex_);
  return {this, submitted_};
}

void FifoStream::wait(const Event& event) {
  if (event.stream == nullptr || event.stream == this) return;
  submit(Cost{"wait"}, [event](ExecContext&) { event.stream->wait_for(event.ticket); });
}

void FifoStream::synchronize() {
  uint64_t ticket = 0;
  {
    std::lock_guard lock(mutex_);
    ticket = submitted_;
  }
  wait_for(ticket);
}

void FifoStream::wait_for(uint64_t ticket) {
  std::unique_lock lock(mutex_);
  done_cv_.wait(lock, [&] { return done_ >= ticket || error_; });
  if (error_) std::rethrow_exception(error_);
}

double FifoStream::read_scalar(const double* value, double) {
  synchronize();
  return *value;
}

void FifoStream::enqueue(const Cost&, Call call, void* closure, size_t bytes) {
  {
    std::unique_lock lock(mutex_);
    done_cv_.wait(lock, [&] { return submitted_ - done_ < kSlots || error_; });
    if (error_) std::rethrow_exception(error_);
    Slot& slot = (*slots_)[submitted_ % kSlots];
    slot.call = call;
    std::memcpy(slot.closure.data(), closure, bytes);
    ++submitted_;
  }
  submitted_cv_.notify_one();
}

void FifoStream::loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    submitted_cv_.wait(lock, [&] { return stop_ || submitted_ > done_; });
    if (submitted_ == done_ || error_) {
      if (stop_) return;
      if (error_) submitted_cv_.wait(lock, [&] { return stop_; });
      continue;
    }
    Slot& slot = (*slots_)[done_ % kSlots];
    lock.unlock();
    std::exception_ptr error;
    try {
      slot.call(slot.closure.data(), context_);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error && !error_) error_ = error;
    if (!error) ++done_;
    done_cv_.notify_all();
  }
}

void CountingStream::enqueue(const Cost& cost, Call, void*, size_t) {
  CostSum& sum = costs_[cost.name];
  ++sum.count;
  sum.flops += cost.flops;
  sum.bytes_read += cost.bytes_read;
  sum.bytes_written += cost.bytes_written;
}

std::map<std::string, CostSum> CountingStream::sums() const {
  std::map<std::string, CostSum> result;
  for (const auto& [name, cost] : costs_) {
    CostSum& sum = result[name];
    sum.count += cost.count;
    sum.flops += cost.flops;
    sum.bytes_read += cost.bytes_read;
    sum.bytes_written += cost.bytes_written;
  }
  return result;
}

CostSum CountingStream::total() const {
  CostSum total;
  for (const auto& [name, cost] : costs_) {
    total.count += cost.count;
    total.flops += cost.flops;
    total.bytes_read += cost.bytes_read;
    total.bytes_written += cost.bytes_written;
  }
  return total;
}

}  // namespace athanor

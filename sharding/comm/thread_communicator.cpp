#include "sharding/comm/thread_communicator.h"

#include <cstring>

namespace athanor {

void ThreadGroup::publish(int rank, const void* pointer) {
  pointers_[static_cast<size_t>(rank)] = pointer;
  barrier();
}

// True when all ranks have come: either for all of them, or for none.
bool ThreadGroup::arrive(std::unique_lock<std::mutex>& lock, bool stop_on_abort) {
  const uint64_t generation = generation_;
  if (++arrived_ == world_size()) {
    arrived_ = 0;
    ++generation_;
    arrived_cv_.notify_all();
  } else {
    arrived_cv_.wait(lock,
                     [&] { return generation_ != generation || (stop_on_abort && aborted_); });
  }
  return generation_ != generation;
}

void ThreadGroup::close() {
  std::unique_lock lock(mutex_);
  arrive(lock, false);
}

void ThreadGroup::barrier() {
  std::unique_lock lock(mutex_);
  if (aborted_ || !arrive(lock, true)) {
    throw Error(ErrorKind::kLostPeer, "another rank stopped: " + reason_);
  }
}

void ThreadGroup::abort(const std::string& reason) noexcept {
  {
    std::lock_guard lock(mutex_);
    if (aborted_) return;
    aborted_ = true;
    reason_ = reason;
  }
  arrived_cv_.notify_all();
}

namespace {

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(ThreadGroup& group, int rank)
      : Communicator(rank, group.world_size()), group_(group) {}

  void abort(const std::string& reason, int) noexcept override { group_.abort(reason); }

 protected:
  void do_all_gather(void* out, const void* in, int64_t bytes, Stream& stream) override {
    stream.submit(Cost{"all_gather", 0, bytes, bytes * (world_size() - 1)},
                  [this, out, in, bytes](ExecContext&) {
                    group_.publish(rank(), in);
                    for (int r = 0; r < world_size(); ++r) {
                      void* block = static_cast<std::byte*>(out) + r * bytes;
                      const void* source = group_.pointer(r);
                      if (block != source) std::memcpy(block, source, static_cast<size_t>(bytes));
                    }
                    group_.close();
                  });
  }

  // A peer reads only its own block of our input, and we write only ours: no rank's input is
  // overwritten before it was read, even when out lies inside in.
  void do_reduce_scatter(float* out, const float* in, int64_t n, int present,
                         Stream& stream) override {
    stream.submit(Cost{"reduce_scatter", 0, n * 4 * (present - 1), n * 4},
                  [this, out, in, n, present](ExecContext&) {
                    group_.publish(rank(), in);
                    constexpr int kMaxRanks = 256;
                    ATHANOR_CHECK(present <= kMaxRanks, "too many thread ranks");
                    const float* operands[kMaxRanks];
                    for (int r = 0; r < present; ++r) {
                      operands[r] = static_cast<const float*>(group_.pointer(r)) + rank() * n;
                    }
                    tree_sum(out, operands, present, n);
                    group_.close();
                  });
  }

  void do_barrier(Stream& stream) override {
    stream.submit(Cost{"barrier"}, [this](ExecContext&) { group_.barrier(); });
  }

 private:
  ThreadGroup& group_;
};

}  // namespace

std::unique_ptr<Communicator> make_thread_communicator(ThreadGroup& group, int rank) {
  return std::make_unique<ThreadCommunicator>(group, rank);
}

}  // namespace athanor

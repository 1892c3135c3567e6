// io_uring by liburing. Chosen by CMake where the library was found; the kernel is asked when a
// queue is made, because containers often refuse the system calls.
#include <liburing.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <thread>

#include "sharding/tier/io_queue.h"

namespace athanor {
namespace {

constexpr auto kPause = std::chrono::milliseconds(1);
constexpr int kMaxPauses = 10'000;  // a kernel without memory for a request so long has none

bool is_passing(int error_number) {
  return error_number == EINTR || error_number == EAGAIN || error_number == EBUSY;
}

class IoUringQueue final : public IoQueue {
 public:
  IoUringQueue() = default;
  ~IoUringQueue() override {
    if (open_) io_uring_queue_exit(&ring_);
  }
  IoUringQueue(const IoUringQueue&) = delete;
  IoUringQueue& operator=(const IoUringQueue&) = delete;

  // Returns why io_uring cannot be used here, or nothing. A filter may let the ring be made and
  // refuse its use, so one operation that does nothing goes all the way.
  std::string open(int depth) {
    const int made = io_uring_queue_init(static_cast<unsigned>(depth), &ring_, 0);
    if (made != 0) return "io_uring_setup: " + std::generic_category().message(-made);
    open_ = true;
    io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
    const bool known = probe != nullptr && io_uring_opcode_supported(probe, IORING_OP_READ) != 0 &&
                       io_uring_opcode_supported(probe, IORING_OP_WRITE) != 0;
    io_uring_free_probe(probe);
    if (!known) return "the kernel's io_uring cannot read and write";
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    io_uring_prep_nop(entry);
    io_uring_sqe_set_data64(entry, 0);
    const int error_number = enter();
    if (error_number != 0)
      return "io_uring_enter: " + std::generic_category().message(error_number);
    const int64_t result = wait().result;
    if (result < 0) {
      return "io_uring: " + std::generic_category().message(static_cast<int>(-result));
    }
    return "";
  }

  const char* name() const override { return "io_uring"; }

  int submit(const IoRequest& request, int slot) noexcept override {
    if (broken_ != 0) return broken_;
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) return EBUSY;
    const auto bytes = static_cast<unsigned>(request.bytes);
    const auto offset = static_cast<uint64_t>(request.offset);
    if (request.write) {
      io_uring_prep_write(entry, request.fd, request.memory, bytes, offset);
    } else {
      io_uring_prep_read(entry, request.fd, request.memory, bytes, offset);
    }
    io_uring_sqe_set_data64(entry, static_cast<uint64_t>(slot));
    return broken_ = enter();
  }

  IoCompletion wait() noexcept override {
    io_uring_cqe* entry = nullptr;
    // The kernel owns the memory of what is under way, so there is no giving up: should entering
    // fail, completions still arrive in the shared ring.
    while (true) {
      const int result = io_uring_wait_cqe(&ring_, &entry);
      if (result == 0) break;
      if (result != -EINTR) std::this_thread::sleep_for(kPause);
    }
    const IoCompletion completion{static_cast<int>(io_uring_cqe_get_data64(entry)), entry->res};
    io_uring_cqe_seen(&ring_, entry);
    return completion;
  }

 private:
  // Hands the one prepared entry to the kernel. After a lasting failure the entry is still in the
  // ring, where a later call would start it, so the queue takes nothing more (broken_).
  int enter() noexcept {
    int result = 0;
    for (int pause = 0; pause < kMaxPauses; ++pause) {
      result = io_uring_submit(&ring_);
      if (result > 0) return 0;
      if (result < 0 && !is_passing(-result)) return -result;
      std::this_thread::sleep_for(kPause);
    }
    return result < 0 ? -result : EBUSY;
  }

  io_uring ring_ = {};
  bool open_ = false;
  int broken_ = 0;
};

}  // namespace

std::unique_ptr<IoQueue> make_io_uring_queue(int depth, std::string& refusal) {
  auto queue = std::make_unique<IoUringQueue>();
  refusal = queue->open(depth);
  if (!refusal.empty()) return nullptr;
  return queue;
}

}  // namespace athanor

// A queue of positioned reads and writes, the part of the disk tier that differs between io_uring
// and a pool of threads. Backends move bytes and report; what a short transfer or an error means is
// DiskEngine's to decide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace athanor {

struct IoRequest {
  int fd = -1;
  bool write = false;
  std::byte* memory = nullptr;  // must stay until the completion; only read from when `write`
  int64_t bytes = 0;            // below 2^31
  int64_t offset = 0;
};

struct IoCompletion {
  int slot = 0;        // as given to submit
  int64_t result = 0;  // bytes moved, possibly fewer than asked for, or -errno
};

// Used by one thread at a time. Destroyed only when every submitted request has been waited for.
class IoQueue {
 public:
  virtual ~IoQueue() = default;
  virtual const char* name() const = 0;
  // Returns 0, or an errno when the request was not taken; then there is no completion for it.
  // At most as many requests as the queue was made for may be under way.
  virtual int submit(const IoRequest& request, int slot) noexcept = 0;
  // Blocks until one request is done, in any order. At least one must be under way.
  virtual IoCompletion wait() noexcept = 0;
};

// Null with the reason in `refusal` where the kernel, a seccomp filter or the build has no
// io_uring.
std::unique_ptr<IoQueue> make_io_uring_queue(int depth, std::string& refusal);
// pread and pwrite by `threads` threads.
std::unique_ptr<IoQueue> make_thread_queue(int threads);

}  // namespace athanor

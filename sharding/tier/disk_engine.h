// DiskEngine: moves ranges between memory and files, many chunks at a time. One engine serves all
// DiskFiles of one I/O stream; it owns the queue and the bounce buffers, so that their number does
// not grow with the number of files.
//
// A range of a file opened with O_DIRECT is moved in blocks. Whole blocks whose memory is aligned
// go straight to the caller's memory; the rest goes through the bounce buffers: reads take the
// blocks around it, writes read the edge blocks first and put them back patched.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/buffer.h"
#include "sharding/tier/io_queue.h"

namespace athanor {

struct DiskOptions {
  enum class Backend { kAuto, kIoUring, kThreads };
  enum class Direct { kAuto, kOff };
  Backend backend = Backend::kAuto;  // kAuto: io_uring, else threads
  Direct direct = Direct::kAuto;     // kAuto: O_DIRECT where the file system takes it
  bool unnamed = true;               // false: make a scratch file and unlink it, without O_TMPFILE
};

// Powers of two; 1 for buffered files. `block` is a multiple of `memory`.
struct DiskAlignment {
  int64_t block = 1;   // of offset and size
  int64_t memory = 1;  // of the address
};

struct DiskRange {
  int fd = -1;
  DiskAlignment alignment;
  int64_t offset = 0;
  int64_t bytes = 0;
};

// How a transfer ended: error_number 0, an errno, or kEndOfFile; and where in the file.
struct DiskOutcome {
  static constexpr int kEndOfFile = -1;
  int error_number = 0;
  int64_t offset = 0;
  int64_t bounced_bytes = 0;  // bytes of the caller's that went through a bounce buffer
  bool ok() const { return error_number == 0; }
};

class DiskEngine {
 public:
  static constexpr int64_t kChunkBytes = int64_t{1} << 20;
  static constexpr int kDepth = 32;  // chunks under way
  static constexpr int kBounceChunks = 8;
  static constexpr int kThreads = 4;  // of the fallback
  // All memory that an engine takes from its allocator, once.
  static constexpr int64_t kBounceBytes = kBounceChunks * kChunkBytes;
  static constexpr int64_t kMaxBlock = 64 << 10;  // larger needs of a file system: buffered
  static constexpr int64_t kMaxMemoryAlignment = 4096;

  // `allocator` hands out memory of the host. Throws kIo when a forced backend is refused.
  explicit DiskEngine(Allocator& allocator, DiskOptions options = {});
  // With a queue of the caller's, for at least kDepth requests.
  DiskEngine(Allocator& allocator, std::unique_ptr<IoQueue> queue, DiskOptions options = {});
  DiskEngine(const DiskEngine&) = delete;
  DiskEngine& operator=(const DiskEngine&) = delete;

  const DiskOptions& options() const { return options_; }
  const char* backend() const { return queue_->name(); }
  // Why kAuto did not take io_uring; empty when it did.
  const std::string& refusal() const { return refusal_; }

  // Both return when nothing is under way any more, also after an error, so that the memory is
  // the caller's again. The file holds the blocks around the range; at its end a read may stop
  // inside a block, as long as the range is complete.
  DiskOutcome read(const DiskRange& range, std::byte* to) noexcept;
  DiskOutcome write(const DiskRange& range, const std::byte* from) noexcept;
  // Whether the file can be read with O_DIRECT, which is set, and `alignment`.
  bool accepts(int fd, const DiskAlignment& alignment) noexcept;

 private:
  struct Move;
  struct Piece;
  struct Slot {
    bool busy = false;
    IoRequest request;       // what is still to be moved
    int64_t needed = 0;      // bytes of `request` without which the piece is not complete
    int passing_errors = 0;  // EINTR, EAGAIN
    // From bounce buffer to caller once a read is complete.
    std::byte* copy_to = nullptr;
    const std::byte* copy_from = nullptr;
    int64_t copy_bytes = 0;
  };

  DiskOutcome run(const Move& move) noexcept;
  DiskOutcome patch(const DiskRange& range, const std::byte* from) noexcept;
  static Piece next_piece(const Move& move, int64_t position);
  int free_slot(bool bounced) const;
  void start(int slot, const Move& move, const Piece& piece, DiskOutcome& outcome);
  void submit(int slot, DiskOutcome& outcome);
  void finish_one(const DiskAlignment& alignment, DiskOutcome& outcome);
  std::byte* bounce(int slot) const { return bounce_.data() + slot * kChunkBytes; }

  DiskOptions options_;
  std::string refusal_;
  Buffer bounce_;
  std::array<Slot, kDepth> slots_;
  int under_way_ = 0;
  std::unique_ptr<IoQueue> queue_;
};

}  // namespace athanor

// A transfer is cut into pieces from front to back; each takes a slot, of which the first
// kBounceChunks have a bounce buffer. The only waiting is for a completion.
#include "sharding/tier/disk_engine.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace athanor {
namespace {

// A file system that answers EAGAIN this often will not answer anything else.
constexpr int kMaxPassingErrors = 1000;

int64_t align_down(int64_t value, int64_t alignment) { return value / alignment * alignment; }

bool is_aligned(const std::byte* memory, int64_t alignment) {
  return reinterpret_cast<uintptr_t>(memory) % static_cast<uintptr_t>(alignment) == 0;
}

std::unique_ptr<IoQueue> make_queue(DiskOptions::Backend backend, std::string& refusal) {
  if (backend != DiskOptions::Backend::kThreads) {
    auto queue = make_io_uring_queue(DiskEngine::kDepth, refusal);
    if (queue != nullptr) return queue;
    if (backend == DiskOptions::Backend::kIoUring) throw Error(ErrorKind::kIo, refusal);
  }
  return make_thread_queue(DiskEngine::kThreads);
}

}  // namespace

struct DiskEngine::Move {
  DiskRange range;
  bool write;
  std::byte* memory;  // of range.offset

  int64_t end() const { return range.offset + range.bytes; }
  std::byte* at(int64_t position) const { return memory + (position - range.offset); }
};

// Bytes [begin, end) of the file, and which of them are the caller's.
struct DiskEngine::Piece {
  int64_t begin;
  int64_t end;
  int64_t wanted_begin;
  int64_t wanted_end;
  bool bounced;
};

DiskEngine::DiskEngine(Allocator& allocator, DiskOptions options)
    : options_(options),
      bounce_(allocator, kBounceBytes),
      queue_(make_queue(options.backend, refusal_)) {
  ATHANOR_CHECK(is_aligned(bounce_.data(), kMaxMemoryAlignment), "bounce buffers fill pages");
}

DiskEngine::DiskEngine(Allocator& allocator, std::unique_ptr<IoQueue> queue, DiskOptions options)
    : options_(options), bounce_(allocator, kBounceBytes), queue_(std::move(queue)) {
  ATHANOR_CHECK(is_aligned(bounce_.data(), kMaxMemoryAlignment), "bounce buffers fill pages");
}

DiskOutcome DiskEngine::read(const DiskRange& range, std::byte* to) noexcept {
  return run({range, false, to});
}

DiskOutcome DiskEngine::write(const DiskRange& range, const std::byte* from) noexcept {
  const int64_t block = range.alignment.block;
  const int64_t end = range.offset + range.bytes;
  const int64_t middle = std::min(align_up(range.offset, block), end);
  const int64_t tail = std::max(align_down(end, block), middle);
  DiskOutcome total;
  const auto add = [&](const DiskOutcome& part) {
    total = {part.error_number, part.offset, total.bounced_bytes + part.bounced_bytes};
  };
  const auto part = [&](int64_t begin, int64_t stop) {
    return DiskRange{range.fd, range.alignment, begin, stop - begin};
  };
  const auto at = [&](int64_t position) { return from + (position - range.offset); };
  if (middle > range.offset) add(patch(part(range.offset, middle), from));
  if (total.ok() && tail > middle) {
    add(run({part(middle, tail), true, const_cast<std::byte*>(at(middle))}));
  }
  if (total.ok() && end > tail) add(patch(part(tail, end), at(tail)));
  return total;
}

bool DiskEngine::accepts(int fd, const DiskAlignment& alignment) noexcept {
  const DiskOutcome outcome = run({{fd, alignment, 0, alignment.block}, false, bounce(0)});
  return outcome.error_number != EINVAL && outcome.error_number != EOPNOTSUPP;
}

// Writes a range inside one block.
DiskOutcome DiskEngine::patch(const DiskRange& range, const std::byte* from) noexcept {
  const int64_t begin = align_down(range.offset, range.alignment.block);
  const DiskRange block{range.fd, range.alignment, begin, range.alignment.block};
  std::byte* copy = bounce(0);
  DiskOutcome outcome = run({block, false, copy});
  if (!outcome.ok()) return outcome;
  std::memcpy(copy + (range.offset - begin), from, static_cast<size_t>(range.bytes));
  outcome = run({block, true, copy});
  outcome.bounced_bytes = range.bytes;
  return outcome;
}

DiskOutcome DiskEngine::run(const Move& move) noexcept {
  DiskOutcome outcome;
  int64_t position = move.range.offset;
  while (true) {
    while (outcome.ok() && position < move.end()) {
      const Piece piece = next_piece(move, position);
      const int slot = free_slot(piece.bounced);
      if (slot < 0) break;
      start(slot, move, piece, outcome);
      position = piece.wanted_end;
    }
    if (under_way_ == 0) return outcome;
    finish_one(move.range.alignment, outcome);
  }
}

DiskEngine::Piece DiskEngine::next_piece(const Move& move, int64_t position) {
  const auto [block, memory] = move.range.alignment;
  const int64_t begin = align_down(position, block);
  const int64_t whole_end = align_down(move.end(), block);
  if (begin == position && position < whole_end && is_aligned(move.at(position), memory)) {
    const int64_t end = std::min(position + kChunkBytes, whole_end);
    return {position, end, position, end, false};
  }
  // One block, when the memory of the next one is aligned; else as much as a buffer takes.
  const int64_t next = align_up(position + 1, block);
  const bool straight_after =
      begin != position && next < whole_end && is_aligned(move.at(next), memory);
  const int64_t end =
      straight_after ? next : std::min(begin + kChunkBytes, align_up(move.end(), block));
  return {begin, end, position, std::min(end, move.end()), true};
}

// Straight pieces leave the slots with buffers to those that need them, while there are others.
int DiskEngine::free_slot(bool bounced) const {
  for (int slot = (bounced ? kBounceChunks : kDepth) - 1; slot >= 0; --slot) {
    if (!slots_[static_cast<size_t>(slot)].busy) return slot;
  }
  return -1;
}

void DiskEngine::start(int slot, const Move& move, const Piece& piece, DiskOutcome& outcome) {
  Slot& state = slots_[static_cast<size_t>(slot)];
  const int64_t bytes = piece.end - piece.begin;
  std::byte* memory = piece.bounced ? bounce(slot) : move.at(piece.begin);
  state = {
      true, {move.range.fd, move.write, memory, bytes, piece.begin}, bytes, 0, nullptr, nullptr, 0};
  if (piece.bounced) {
    std::byte* caller = move.at(piece.wanted_begin);
    std::byte* buffer = memory + (piece.wanted_begin - piece.begin);
    const int64_t wanted = piece.wanted_end - piece.wanted_begin;
    outcome.bounced_bytes += wanted;
    if (move.write) {
      std::memcpy(buffer, caller, static_cast<size_t>(wanted));
    } else {
      state.needed = piece.wanted_end - piece.begin;
      state.copy_to = caller;
      state.copy_from = buffer;
      state.copy_bytes = wanted;
    }
  }
  ++under_way_;
  submit(slot, outcome);
}

void DiskEngine::submit(int slot, DiskOutcome& outcome) {
  Slot& state = slots_[static_cast<size_t>(slot)];
  const int error_number = queue_->submit(state.request, slot);
  if (error_number == 0) return;
  if (outcome.ok()) {
    outcome.error_number = error_number;
    outcome.offset = state.request.offset;
  }
  state.busy = false;
  --under_way_;
}

void DiskEngine::finish_one(const DiskAlignment& alignment, DiskOutcome& outcome) {
  const IoCompletion completion = queue_->wait();
  Slot& state = slots_[static_cast<size_t>(completion.slot)];
  int error_number = 0;
  int64_t moved = completion.result;
  if (moved < 0) {
    const bool passing = moved == -EINTR || moved == -EAGAIN;
    if (!passing || ++state.passing_errors > kMaxPassingErrors) {
      error_number = static_cast<int>(-moved);
    }
    moved = 0;
  } else if (moved < state.needed) {
    // The rest of a short transfer starts at a block again; no whole block means no progress.
    moved = align_down(moved, alignment.block);
    if (moved == 0) error_number = state.request.write ? EIO : DiskOutcome::kEndOfFile;
  }
  state.request.memory += moved;
  state.request.offset += moved;
  state.request.bytes -= moved;
  state.needed -= moved;
  if (error_number == 0 && state.needed > 0 && outcome.ok()) {
    submit(completion.slot, outcome);
    return;
  }
  if (error_number != 0 && outcome.ok()) {
    outcome.error_number = error_number;
    outcome.offset = state.request.offset;
  }
  if (error_number == 0 && state.needed <= 0 && state.copy_bytes > 0) {
    std::memcpy(state.copy_to, state.copy_from, static_cast<size_t>(state.copy_bytes));
  }
  state.busy = false;
  --under_way_;
}

}  // namespace athanor

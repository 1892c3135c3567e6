#include "tests/fake_cuda/runtime/block.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <boost/context/detail/fcontext.hpp>
#include <cstring>
#include <utility>
#include <vector>

#include "tests/fake_cuda/runtime/device.h"
#include "tests/fake_cuda/runtime/internal.h"
#include "tests/fake_cuda/runtime/memory.h"
#include "tests/fake_cuda/runtime/sanitizer.h"
#include "tests/fake_cuda/runtime/tensor_core.h"

namespace fake_cuda {
namespace {

namespace context = boost::context::detail;

constexpr size_t kStackBytes = 128 << 10;
constexpr int kWarp = 32;

std::string line_of(const Location& at) {
  const char* name = std::strrchr(at.file_name(), '/');
  return std::string(name != nullptr ? name + 1 : at.file_name()) + ":" + std::to_string(at.line());
}

bool same_place(const Location& a, const Location& b) {
  return a.line() == b.line() && a.column() == b.column();
}

struct Thread {
  context::fcontext_t resume{};
  char* stack = nullptr;
  sanitizer::Fiber fiber;
  uint3 index{};
  int linear = 0;
  bool done = false;
  const char* waits_for = nullptr;
  Location waits_at;
  AsyncCopies copies;
};

// Lanes of a warp that have arrived at one collective.
struct Gathering {
  unsigned mask = 0;
  unsigned arrived = 0;
  WarpOperation operation{};
  Location at;
  void* lanes[kWarp] = {};
};

struct Warp {
  std::vector<Gathering> gatherings;
  unsigned syncs = 0;
};

constexpr size_t kTagBytes = 1024;  // of a block: two for barriers, two for each warp, 8 bytes each
constexpr size_t kTagBlocks = 1024;

// To the race checker the pages are new.
void* map_pages(void* at, size_t bytes, int access) {
  sanitizer::Quiet quiet;
  void* pages =
      mmap(at, bytes, access,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at != nullptr ? MAP_FIXED : 0), -1, 0);
  if (pages == MAP_FAILED) fail("mmap failed");
  return pages;
}

}  // namespace

struct BlockRunner::State {
  // Two sets of fibers in turn, so that what two blocks do has no order for the race checker.
  std::vector<std::unique_ptr<Thread>> sets[2];
  std::vector<std::unique_ptr<Thread>>* threads = &sets[0];
  Thread scheduler;
  int size = 0;
  int alive = 0;
  int exited = 0;
  std::vector<Thread*> ready;
  std::vector<Thread*> at_barrier;
  Location barrier;
  unsigned barriers = 0;
  std::vector<Warp> warps;
  char* shared_low = nullptr;
  char* shared = nullptr;
  size_t shared_mapped = 0;
  const std::function<void()>* body = nullptr;
  ThreadOrder order = ThreadOrder::kFifo;
  // Tags of order for the race checker. Each block has its own for a long time, so that its
  // barriers say nothing about other blocks.
  char* all_tags = nullptr;
  char* tags = nullptr;
  size_t blocks_run = 0;
  alignas(8) char kernel_start[8] = {};
  alignas(8) char kernel_end[8] = {};

  void* barrier_tag(unsigned round) const { return tags + round % 2 * 8; }
  void* warp_tag(size_t warp) const { return tags + 64 + warp * 16 + warps[warp].syncs % 2 * 8; }
  void make_threads(int count);
  void new_shared_memory(size_t bytes);
  void run_block(dim3 block);
  Thread* pick();
  void go(Thread* to, bool last);
  void shuffle(std::vector<Thread*>& list) const;
  [[noreturn]] void report_deadlock();
};

namespace {

BlockRunner::State* g_block = nullptr;  // the block that runs, under the lock of the API
Thread* g_thread = nullptr;

void enter_thread(context::transfer_t from) {
  auto* previous = static_cast<Thread*>(from.data);
  previous->resume = from.fctx;
  Thread* const self = g_thread;
  sanitizer::after_switch(self->fiber, previous->fiber);
  sanitizer::acquire(g_block->kernel_start);
  (*g_block->body)();
  if (!self->copies.open.empty() || !self->copies.groups.empty()) {
    fail("a thread ends with asynchronous copies in flight");
  }
  self->done = true;
  --g_block->alive;
  ++g_block->exited;
  sanitizer::release(g_block->kernel_end);
  g_block->go(g_block->pick(), true);
  __builtin_unreachable();
}

// Suspends the running thread until someone puts it on the ready list.
void suspend(const char* waits_for, const Location& at) {
  g_thread->waits_for = waits_for;
  g_thread->waits_at = at;
  g_block->go(g_block->pick(), false);
  g_thread->waits_for = nullptr;
}

}  // namespace

void BlockRunner::State::make_threads(int count) {
  for (auto& set : sets) {
    if (&set == &sets[1] && !sanitizer::tracks_races()) continue;
    while (static_cast<int>(set.size()) < count) {
      auto thread = std::make_unique<Thread>();
      auto* pages =
          static_cast<char*>(map_pages(nullptr, kStackBytes + kPage, PROT_READ | PROT_WRITE));
      mprotect(pages, kPage, PROT_NONE);
      thread->stack = pages + kPage;
      thread->fiber.stack = thread->stack;
      thread->fiber.stack_bytes = kStackBytes;
      sanitizer::create(thread->fiber);
      set.push_back(std::move(thread));
    }
  }
}

void BlockRunner::State::new_shared_memory(size_t bytes) {
  sanitizer::Quiet quiet;
  const size_t reserved = round_up(kMaxSharedBytes, kPage) + 2 * kPage;
  if (shared_low == nullptr) {
    shared_low = static_cast<char*>(map_pages(nullptr, reserved, PROT_NONE));
    all_tags =
        static_cast<char*>(map_pages(nullptr, kTagBytes * kTagBlocks, PROT_READ | PROT_WRITE));
  }
  tags = all_tags + blocks_run++ % kTagBlocks * kTagBytes;
  const size_t mapped = round_up(bytes, kPage);
  char* const first = shared_low + kPage;
  if (sanitizer::tracks_races() && bytes > 0) map_pages(first, mapped, PROT_READ | PROT_WRITE);
  if (mapped != shared_mapped) {
    mprotect(first, reserved - 2 * kPage, PROT_NONE);
    if (mapped > 0) mprotect(first, mapped, PROT_READ | PROT_WRITE);
    shared_mapped = mapped;
  }
  shared = bytes == 0 ? nullptr : first + (mapped - round_up(bytes, 16)) / 128 * 128;
  if (bytes > 0) std::memset(first, 0xFF, mapped);
  note_shared_memory(shared_low, shared_low + reserved, shared != nullptr ? shared : first, bytes);
}

void BlockRunner::State::shuffle(std::vector<Thread*>& list) const {
  for (size_t i = list.size(); i > 1; --i) {
    std::swap(list[i - 1], list[random_below(static_cast<uint32_t>(i))]);
  }
}

Thread* BlockRunner::State::pick() {
  if (ready.empty()) return &scheduler;
  const size_t last = ready.size() - 1;
  const size_t at =
      order == ThreadOrder::kUniform ? random_below(static_cast<uint32_t>(ready.size())) : last;
  std::swap(ready[at], ready[last]);
  Thread* const thread = ready[last];
  ready.pop_back();
  return thread;
}

void BlockRunner::State::go(Thread* to, bool last) {
  Thread* const self = g_thread;
  if (to == self) return;
  g_thread = to;
  threadIdx = to->index;
  sanitizer::before_switch(self->fiber, to->fiber, last);
  const context::transfer_t from = context::jump_fcontext(to->resume, self);
  auto* previous = static_cast<Thread*>(from.data);
  previous->resume = from.fctx;
  sanitizer::after_switch(self->fiber, previous->fiber);
}

void BlockRunner::State::report_deadlock() {
  for (const auto& thread : *threads) {
    if (thread->linear >= size || thread->done || thread->waits_for == nullptr) continue;
    threadIdx = thread->index;
    fail("deadlock: " + std::to_string(alive) + " of " + std::to_string(size) +
         " threads wait; one for " + thread->waits_for + " at " + line_of(thread->waits_at) +
         ", at the barrier are " + std::to_string(at_barrier.size()));
  }
  fail("deadlock in a block");
}

void BlockRunner::State::run_block(dim3 block) {
  alive = size;
  exited = 0;
  barriers = 0;
  ready.clear();
  warps.assign(static_cast<size_t>((size + kWarp - 1) / kWarp), Warp());
  for (Warp& warp : warps) warp.gatherings.reserve(kWarp + 1);
  for (int i = size - 1; i >= 0; --i) {  // the first thread is the last entry, which runs first
    Thread& thread = *(*threads)[static_cast<size_t>(i)];
    const auto linear = static_cast<unsigned>(i);
    thread.linear = i;
    thread.done = false;
    thread.waits_for = nullptr;
    thread.index = {linear % block.x, linear / block.x % block.y, linear / (block.x * block.y)};
    thread.resume = context::make_fcontext(thread.stack + kStackBytes, kStackBytes, enter_thread);
    ready.push_back(&thread);
  }
  if (order == ThreadOrder::kWarpGreedy) shuffle(ready);
  go(pick(), false);
  if (alive > 0) report_deadlock();
}

BlockRunner::BlockRunner() : state_(std::make_unique<State>()) {}

BlockRunner::~BlockRunner() {
  for (auto& set : state_->sets) {
    for (auto& thread : set) {
      sanitizer::destroy(thread->fiber);
      munmap(thread->stack - kPage, kStackBytes + kPage);
    }
  }
  if (state_->shared_low != nullptr) {
    munmap(state_->shared_low, round_up(kMaxSharedBytes, kPage) + 2 * kPage);
    munmap(state_->all_tags, kTagBytes * kTagBlocks);
  }
}

void BlockRunner::run(const Launch& launch) {
  State& state = *state_;
  g_block = &state;
  state.body = &launch.body;
  state.order = settings().order;
  state.size = static_cast<int>(launch.block.x * launch.block.y * launch.block.z);
  state.make_threads(state.size);
  state.ready.reserve(static_cast<size_t>(state.size) * 2);
  state.at_barrier.reserve(static_cast<size_t>(state.size));
  set_running_kernel(launch.where.c_str());
  blockDim = launch.block;
  gridDim = launch.grid;
  g_thread = &state.scheduler;
  sanitizer::adopt_current(state.scheduler.fiber);
  sanitizer::release(state.kernel_start);

  std::vector<unsigned> blocks(size_t{launch.grid.x} * launch.grid.y * launch.grid.z);
  for (size_t i = 0; i < blocks.size(); ++i) {
    blocks[i] = static_cast<unsigned>(i);
    if (state.order == ThreadOrder::kFifo) continue;
    std::swap(blocks[i], blocks[random_below(static_cast<uint32_t>(i + 1))]);
  }
  size_t turn = 0;
  for (unsigned block : blocks) {
    const unsigned columns = launch.grid.x;
    const unsigned rows = launch.grid.y;
    blockIdx = {block % columns, block / columns % rows, block / (columns * rows)};
    state.threads = &state.sets[sanitizer::tracks_races() ? turn++ % 2 : 0];
    state.new_shared_memory(launch.shared_bytes);
    state.run_block(launch.block);
  }
  sanitizer::acquire(state.kernel_end);
  mutable_counts().threads += blocks.size() * static_cast<uint64_t>(state.size);
  ++mutable_counts().kernels;
  note_shared_memory(nullptr, nullptr, nullptr, 0);
  check_canaries("after the kernel");
  set_running_kernel(nullptr);
  g_block = nullptr;
}

void sync_threads(const Location& at) {
  sanitizer::Quiet quiet;
  BlockRunner::State& block = *g_block;
  if (block.exited > 0) {
    fail("__syncthreads at " + line_of(at) + " after " + std::to_string(block.exited) +
         " threads of the block have exited");
  }
  if (block.at_barrier.empty()) {
    block.barrier = at;
  } else if (!same_place(block.barrier, at)) {
    fail("divergent __syncthreads: " + line_of(block.barrier) + " and " + line_of(at));
  }
  void* const tag = block.barrier_tag(block.barriers);
  sanitizer::release(tag);
  block.at_barrier.push_back(g_thread);
  if (static_cast<int>(block.at_barrier.size()) == block.size) {
    ++block.barriers;
    if (block.order == ThreadOrder::kWarpGreedy) block.shuffle(block.at_barrier);
    if (block.order == ThreadOrder::kFifo) {
      std::sort(block.at_barrier.begin(), block.at_barrier.end(),
                [](const Thread* a, const Thread* b) { return a->linear > b->linear; });
    }
    block.ready.insert(block.ready.end(), block.at_barrier.begin(), block.at_barrier.end());
    block.at_barrier.clear();
  }
  suspend("__syncthreads", at);
  sanitizer::acquire(tag);
}

void warp_collective(unsigned mask, WarpOperation operation, void* data, Combine combine,
                     const Location& at) {
  sanitizer::Quiet quiet;
  BlockRunner::State& block = *g_block;
  const auto index = static_cast<size_t>(g_thread->linear / kWarp);
  const int lane = g_thread->linear % kWarp;
  Warp& warp = block.warps[index];
  if ((mask >> lane & 1) == 0) {
    fail("lane " + std::to_string(lane) + " is not in its own mask at " + line_of(at));
  }
  const int lanes = std::min(kWarp, block.size - static_cast<int>(index) * kWarp);
  if (lanes < kWarp && mask >> lanes != 0) {
    fail("the mask at " + line_of(at) + " names lanes that do not exist");
  }
  auto& gatherings = warp.gatherings;
  size_t i = 0;
  for (; i < gatherings.size(); ++i) {
    const Gathering& other = gatherings[i];
    if (other.mask == mask && other.operation == operation && same_place(other.at, at)) break;
    if ((other.mask & mask) != 0) {
      fail("warp divergence: lanes wait at " + line_of(other.at) + " and at " + line_of(at));
    }
  }
  if (i == gatherings.size()) gatherings.push_back({mask, 0, operation, at, {}});
  gatherings[i].arrived |= 1u << lane;
  gatherings[i].lanes[lane] = data;
  void* const tag = block.warp_tag(index);
  const bool orders = operation == WarpOperation::kSync;
  if (orders) sanitizer::release(tag);
  if (gatherings[i].arrived == mask) {
    if (combine != nullptr) combine(gatherings[i].lanes, mask);
    gatherings.erase(gatherings.begin() + static_cast<ptrdiff_t>(i));
    if (orders) ++warp.syncs;
    for (int other = 0; other < kWarp; ++other) {
      if (other == lane || (mask >> other & 1) == 0) continue;
      block.ready.push_back((*block.threads)[index * kWarp + static_cast<size_t>(other)].get());
    }
    if (block.order != ThreadOrder::kFifo) {  // the last to arrive has no privilege
      block.ready.push_back(g_thread);
      suspend("a warp collective", at);
    }
  } else {
    suspend("a warp collective", at);
  }
  if (orders) sanitizer::acquire(tag);
}

AsyncCopies& async_copies_of_thread() { return g_thread->copies; }

int lane_of_thread() { return g_thread->linear % kWarp; }

void* shared_memory() {
  if (g_block->shared == nullptr) fail("dyn_smem in a kernel launched without shared memory");
  return g_block->shared;
}

void trap(const Location& at) { fail("trap at " + line_of(at)); }

void check_alignment(const void* pointer, size_t bytes, const Location& at) {
  if (reinterpret_cast<uintptr_t>(pointer) % bytes == 0) return;
  fail("misaligned access of " + std::to_string(bytes) + " bytes at " + line_of(at));
}

}  // namespace fake_cuda

// What tests ask of the fake CUDA: the seed and policies of a run, names for allocations, counts.
// Without a call to configure, FAKE_CUDA_SEED, FAKE_CUDA_POLICY (eager, lazy, ahead, random) and
// FAKE_CUDA_ORDER (fifo, uniform, warp_greedy) decide, else a new seed each run; the choice is
// printed, so that a failure can be repeated.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fake_cuda {

// When work that is enqueued runs; every policy keeps the order of streams and events.
enum class Policy {
  kEager,   // at once: what a debugger wants, hides most missing events
  kLazy,    // as late as possible, the awaited stream first
  kAhead,   // as late as possible, all other streams first
  kRandom,  // any stream that can run, now and then before anyone waits
};

// Which thread of a block runs next.
enum class ThreadOrder {
  kFifo,
  kUniform,     // any that can run
  kWarpGreedy,  // one runs on until it blocks, so that warps drift apart
};

struct Settings {
  uint64_t seed = 1;
  Policy policy = Policy::kRandom;
  ThreadOrder order = ThreadOrder::kUniform;
  size_t device_bytes = size_t{8} << 30;  // what cudaMalloc can hand out at a time
  bool unified = false;  // integrated device: kernels may touch all memory of the host
};

void configure(const Settings& settings);
Settings settings();

// Shown in messages about that allocation.
void name_allocation(const void* pointer, const char* name);

struct Counts {
  uint64_t kernels = 0;
  uint64_t threads = 0;
  uint64_t operations = 0;
  uint64_t host_waits = 0;  // calls that made the host wait: synchronise, free
};
Counts counts();

// Exit code of a process that the fake ends.
inline constexpr int kViolationExit = 86;

}  // namespace fake_cuda

// Runs the blocks of a kernel one after the other: a fiber a CUDA thread, barriers and warp
// collectives that block fibers, shared memory that is new and poisoned for each block.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace fake_cuda {

struct Launch {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
  std::function<void()> body;
  std::string where;  // file:line
};

// One per stream: stacks and sanitizer fibers are kept from kernel to kernel.
class BlockRunner {
 public:
  BlockRunner();
  ~BlockRunner();
  void run(const Launch& launch);

  struct State;  // of the fake's own

 private:
  std::unique_ptr<State> state_;
};

// Limits of the device that is imitated: one block's threads and dynamic shared memory.
inline constexpr unsigned kMaxThreads = 1024;
inline constexpr size_t kMaxSharedBytes = 99 << 10;  // sm_86, sm_89, sm_120, sm_121

}  // namespace fake_cuda

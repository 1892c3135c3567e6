// Emulated tensor cores and asynchronous copies. A copy lands as late as its wait allows; until
// then its target is NaNs.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/fake_cuda/runtime/device.h"

namespace fake_cuda {

struct MmaOperands {
  float* c;
  const uint32_t* a;
  const uint32_t* b;
};
void combine_mma(void* const* lanes, unsigned mask);

struct MatrixRow {
  uint16_t row[8];
  uint32_t* tiles;
  bool transposed;
};
void combine_load_matrix(void* const* lanes, unsigned mask);

void async_copy(void* to, const void* from);  // 16 bytes
void async_commit();
void async_wait(int newest_groups);

// What a thread has in flight.
struct AsyncCopies {
  struct Copy {
    void* to;
    const void* from;
  };
  std::vector<Copy> open;
  std::vector<std::vector<Copy>> groups;
};
AsyncCopies& async_copies_of_thread();

}  // namespace fake_cuda

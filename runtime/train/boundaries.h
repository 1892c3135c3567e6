// Boundaries: the tensors that live between visits, which are the inputs of chain positions and the
// gradient of the chain, for as many micro-batch slots as the schedule keeps. In memory each has
// its place; on disk each has a region, and a few buffers hold what the present and the next visit
// use: what a visit made is written back at once, what the next one reads is read ahead.
#pragma once

#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "sharding/schedule.h"
#include "sharding/tier/disk_tier.h"

namespace athanor {

struct BoundaryOptions {
  int64_t tokens = 0;  // capacity of a micro-batch
  int64_t hidden_size = 0;
  DType dtype = DType::kF32;
  int64_t positions = 2;  // of the chain
  int64_t slots = 1;      // that are kept: of a step in layer-major order, else 1
  bool on_disk = false;
};

// What a visit touches, [tokens, C] each; undefined where it has none.
struct BoundaryUse {
  Tensor input;
  Tensor output;
  Tensor gradient;
};

class Boundaries {
 public:
  // `disk` may be null unless on_disk.
  Boundaries(const BoundaryOptions& options, Allocator& device, DiskTier* disk, Stream& compute);

  // `tokens`: of the visit's micro-batch. Between begin and end the tensors stay where they are.
  BoundaryUse begin(const Visit& visit, int64_t tokens);
  void end(const Visit& visit, int64_t tokens);
  // Starts reading what a later visit needs and is not in memory. After begin of the present one.
  void prefetch(const Visit& visit, int64_t tokens);

 private:
  struct Item {
    Tensor memory;      // in memory
    DiskRegion region;  // on disk
    int buffer = -1;    // that holds it now
  };
  struct Cached {
    Buffer memory;
    int item = -1;
    bool in_use = false;
    uint64_t last_use = 0;
    Event ready;    // its content has arrived
    Event written;  // its content has left
  };
  struct Touched {
    int input = -1;
    int output = -1;
    int gradient = -1;
    bool gradient_begins = false;
  };

  static size_t index(int i) { return static_cast<size_t>(i); }
  Touched touched(const Visit& visit) const;
  int item_of(int64_t position, int64_t slot) const;
  int gradient_of(int64_t slot) const;
  int take_buffer(int item);
  void start_read(int item, int64_t tokens);
  Tensor fetch(int item, int64_t tokens, bool read);
  void write_back(int item, int64_t tokens);
  void release(int item, bool dead);
  int64_t bytes_of(int64_t tokens) const;

  BoundaryOptions options_;
  DiskTier* disk_;
  Stream& compute_;
  Arena arena_;              // of what is in memory
  std::vector<Item> items_;  // inputs by position, then gradients; by slot within
  std::vector<Cached> cache_;
  uint64_t clock_ = 0;
};

}  // namespace athanor

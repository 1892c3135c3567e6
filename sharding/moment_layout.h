// How an optimizer keeps its moments: arrays beside the master, in blocks of elements.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/shape.h"

namespace athanor {

struct MomentLayout {
  int count = 2;            // arrays
  int64_t block = 1;        // elements; divides 128, so that every parameter begins a block
  int64_t block_bytes = 4;  // one float32, or what the optimizer packs into bytes

  DType dtype() const { return block == 1 ? DType::kF32 : DType::kU8; }
  int64_t blocks(int64_t elements) const { return (elements + block - 1) / block; }
  int64_t bytes(int64_t elements) const { return blocks(elements) * block_bytes; }
  // [elements] f32 or [blocks, block_bytes] u8
  Shape shape(int64_t elements) const {
    return block == 1 ? Shape{elements} : Shape{blocks(elements), block_bytes};
  }
  bool operator==(const MomentLayout&) const = default;
};

}  // namespace athanor

// Who owns bytes: Allocator (one per tier, counts them), Buffer (RAII owner) and Arena (a region
// reserved at capacity, from which views are carved and given back in stack order).
//
// A plan uses PlanAllocator: distinct addresses in inaccessible memory, so that the same code runs
// without memory and any touch from the host is caught at once.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/shape.h"
#include "core/tensor.h"

namespace athanor {

// Alignment, and granularity of sizes, of everything an Allocator hands out.
inline constexpr int64_t kAlignment = 256;
inline int64_t align_up(int64_t bytes, int64_t alignment = kAlignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

enum class Tier { kDevice, kHost, kDisk };
const char* tier_name(Tier tier);

struct TierStats {
  int64_t current_bytes = 0;
  int64_t peak_bytes = 0;
  int64_t allocations = 0;  // calls so far; constant once the first steps are over
};

class Allocator {
 public:
  explicit Allocator(Tier tier) : tier_(tier) {}
  virtual ~Allocator() = default;
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  Tier tier() const { return tier_; }
  const TierStats& stats() const { return stats_; }
  // Sizes are rounded up to kAlignment; zero bytes are legal.
  void* allocate(int64_t bytes);
  void release(void* data, int64_t bytes) noexcept;

 protected:
  virtual void* map(int64_t bytes) = 0;
  virtual void unmap(void* data, int64_t bytes) noexcept = 0;

 private:
  Tier tier_;
  TierStats stats_;
};

// Page-aligned, zero-filled memory of the host.
class HostAllocator final : public Allocator {
 public:
  using Allocator::Allocator;

 protected:
  void* map(int64_t bytes) override;
  void unmap(void* data, int64_t bytes) noexcept override;
};

// Distinct addresses without access rights.
class PlanAllocator final : public Allocator {
 public:
  using Allocator::Allocator;

 protected:
  void* map(int64_t bytes) override;
  void unmap(void* data, int64_t bytes) noexcept override;
};

class Buffer {
 public:
  Buffer() = default;
  Buffer(Allocator& allocator, int64_t bytes);
  ~Buffer() { reset(); }
  Buffer(Buffer&& other) noexcept { *this = static_cast<Buffer&&>(other); }
  Buffer& operator=(Buffer&& other) noexcept;

  void reset() noexcept;
  bool defined() const { return data_ != nullptr; }
  std::byte* data() const { return static_cast<std::byte*>(data_); }
  int64_t bytes() const { return bytes_; }
  // View of the first shape.numel() elements behind `byte_offset`.
  Tensor view(DType dtype, Shape shape, int64_t byte_offset = 0) const;

 private:
  Allocator* allocator_ = nullptr;
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

// Carves 256-byte aligned views in stack order. A measuring arena owns nothing and accepts
// everything; its peak is the capacity that a real arena needs for the same calls.
class Arena {
 public:
  Arena() = default;  // measuring
  Arena(Allocator& allocator, int64_t capacity) : buffer_(allocator, capacity) {}

  Tensor take(DType dtype, Shape shape);
  int64_t used() const { return used_; }
  int64_t peak() const { return peak_; }
  int64_t capacity() const { return buffer_.bytes(); }
  void rewind(int64_t used) { used_ = used; }

 private:
  Buffer buffer_;
  int64_t used_ = 0;
  int64_t peak_ = 0;
};

// Gives back at the end of a scope what was taken in it.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), used_(arena.used()) {}
  ~ArenaScope() { arena_.rewind(used_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  int64_t used_;
};

}  // namespace athanor

// Memory by mmap: pages come zeroed, go back at once, and a plan's pages have no access rights.
#include "core/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <string>
#include <utility>

namespace athanor {
namespace {

// An address for measuring arenas; never dereferenced.
std::byte* const kMeasuringBase = reinterpret_cast<std::byte*>(kAlignment);

void* map_pages(int64_t bytes, int protection, int flags, Tier tier) {
  void* data = mmap(nullptr, static_cast<size_t>(bytes), protection,
                    MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  if (data == MAP_FAILED) {
    throw Error(ErrorKind::kDoesNotFit, std::string("cannot allocate ") + std::to_string(bytes) +
                                            " bytes on tier " + tier_name(tier));
  }
  return data;
}

}  // namespace

const char* tier_name(Tier tier) {
  switch (tier) {
    case Tier::kDevice:
      return "device";
    case Tier::kHost:
      return "host";
    case Tier::kDisk:
      return "disk";
  }
  return "?";
}

void* Allocator::allocate(int64_t bytes) {
  ATHANOR_CHECK(bytes >= 0, "negative size " + std::to_string(bytes));
  const int64_t rounded = std::max(align_up(bytes), kAlignment);
  void* data = map(rounded);
  stats_.current_bytes += rounded;
  stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.current_bytes);
  ++stats_.allocations;
  return data;
}

void Allocator::release(void* data, int64_t bytes) noexcept {
  const int64_t rounded = std::max(align_up(bytes), kAlignment);
  unmap(data, rounded);
  stats_.current_bytes -= rounded;
}

void* HostAllocator::map(int64_t bytes) {
  void* data = map_pages(bytes, PROT_READ | PROT_WRITE, 0, tier());
  // Large pages where the kernel has them: fewer TLB misses in matrix products.
  if (bytes >= (int64_t{4} << 20)) madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  return data;
}

void HostAllocator::unmap(void* data, int64_t bytes) noexcept {
  munmap(data, static_cast<size_t>(bytes));
}

void* PlanAllocator::map(int64_t bytes) {
  return map_pages(bytes, PROT_NONE, MAP_NORESERVE, tier());
}

void PlanAllocator::unmap(void* data, int64_t bytes) noexcept {
  munmap(data, static_cast<size_t>(bytes));
}

Buffer::Buffer(Allocator& allocator, int64_t bytes)
    : allocator_(&allocator), data_(allocator.allocate(bytes)), bytes_(bytes) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    reset();
    allocator_ = std::exchange(other.allocator_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void Buffer::reset() noexcept {
  if (data_ != nullptr) allocator_->release(data_, bytes_);
  allocator_ = nullptr;
  data_ = nullptr;
  bytes_ = 0;
}

Tensor Buffer::view(DType dtype, Shape shape, int64_t byte_offset) const {
  const int64_t end = byte_offset + shape.numel() * dtype_size(dtype);
  ATHANOR_CHECK(byte_offset >= 0 && end <= bytes_,
                "view ends at byte " + std::to_string(end) + " of " + std::to_string(bytes_));
  return Tensor(data() + byte_offset, dtype, shape);
}

Tensor Arena::take(DType dtype, Shape shape) {
  const int64_t bytes = align_up(shape.numel() * dtype_size(dtype));
  std::byte* base = buffer_.defined() ? buffer_.data() : kMeasuringBase;
  ATHANOR_CHECK(!buffer_.defined() || used_ + bytes <= align_up(capacity()),
                "arena of " + std::to_string(capacity()) + " bytes cannot hold " +
                    std::to_string(used_ + bytes));
  Tensor view(base + used_, dtype, shape);
  used_ += bytes;
  peak_ = std::max(peak_, used_);
  return view;
}

}  // namespace athanor

// Memory of the fake device: every allocation ends at a guard page, is filled with NaNs, has
// canaries around it, is out of reach of host code, and its addresses are never used again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fake_cuda {

enum class MemoryKind { kDevice, kPinned };

struct Allocation {
  char* base = nullptr;  // first mapped byte
  char* data = nullptr;  // first byte of the caller's
  size_t bytes = 0;
  size_t mapped = 0;
  MemoryKind kind = MemoryKind::kDevice;
  bool live = true;
  int id = 0;
  std::string name;

  std::string describe() const;
};

// Null when the device is full.
void* allocate(size_t bytes, MemoryKind kind);
void release(void* pointer, MemoryKind kind);
size_t free_device_bytes();
size_t total_device_bytes();

// The allocation that `pointer` lies in or just behind, live or not; null for memory of others.
Allocation* find_allocation(const void* pointer);
// Fails unless [pointer, pointer + bytes) lies in one live allocation of that kind.
void check_range(const void* pointer, size_t bytes, MemoryKind kind, const char* what);
// Fails when a kernel cannot use the pointer: memory of the host, freed memory.
void check_kernel_pointer(const void* pointer, const std::string& what);
// The same for what looks like pointers in an argument that is a structure.
void check_kernel_struct(const void* data, size_t bytes, const std::string& what);
// Fails when bytes around a live allocation have changed.
void check_canaries(const char* when);

// Whole pages of pinned memory that a copy still needs: no stores, or no access at all.
void protect_pinned(const void* pointer, size_t bytes, bool readable);
void unprotect_pinned(const void* pointer, size_t bytes);

// Device memory is accessible while one of these lives.
class DeviceMemoryOpen {
 public:
  DeviceMemoryOpen();
  ~DeviceMemoryOpen();
  DeviceMemoryOpen(const DeviceMemoryOpen&) = delete;
  DeviceMemoryOpen& operator=(const DeviceMemoryOpen&) = delete;
};

// Shared memory of the running block, for messages: [low, high) is reserved, of which the block has
// `bytes` at `data`.
void note_shared_memory(const char* low, const char* high, const char* data, size_t bytes);

inline constexpr size_t kPage = 4096;
inline size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

}  // namespace fake_cuda

#include "tests/fake_cuda/runtime/memory.h"

#include <signal.h>
#include <sys/mman.h>

#include <cstring>
#include <map>

#include "tests/fake_cuda/runtime/internal.h"
#include "tests/fake_cuda/runtime/sanitizer.h"

namespace fake_cuda {
namespace {

constexpr size_t kReserved = size_t{64} << 30;
constexpr size_t kAlignment = 256;
constexpr unsigned char kCanary = 0xFB;
constexpr unsigned char kPoison = 0xFF;  // NaN as float, bfloat16 and half

struct Memory {
  char* next = nullptr;
  char* end = nullptr;
  size_t device_bytes = 0;
  int allocations = 0;
  int open = 0;
  std::map<char*, Allocation> all;
};

Memory& memory() {
  static auto* const instance = new Memory;  // outlives destructors of statics
  return *instance;
}

struct SharedMemory {
  const char* low = nullptr;
  const char* high = nullptr;
  const char* data = nullptr;
  size_t bytes = 0;
} g_shared;

std::string plural(ptrdiff_t bytes) { return std::to_string(bytes) + " bytes"; }

void protect(const Allocation& allocation, int access) {
  if (mprotect(allocation.base, allocation.mapped, access) != 0) fail("mprotect failed");
}

void on_fault(int signal_number, siginfo_t* info, void*) {
  const auto* address = static_cast<const char*>(info->si_addr);
  const std::string who = running_kernel() != nullptr ? "a kernel" : "host code";
  if (g_shared.low != nullptr && address >= g_shared.low && address < g_shared.high) {
    fail("shared memory out of bounds: " + plural(address - (g_shared.data + g_shared.bytes)) +
         " past the end of " + plural(static_cast<ptrdiff_t>(g_shared.bytes)));
  }
  const Allocation* allocation = find_allocation(address);
  if (allocation == nullptr) {  // not ours
    signal(signal_number, SIG_DFL);
    return;
  }
  const std::string what = allocation->describe();
  if (!allocation->live) fail("use after free: " + who + " touches " + what);
  const ptrdiff_t offset = address - allocation->data;
  if (offset >= static_cast<ptrdiff_t>(allocation->bytes)) {
    fail("out of bounds: " + who + " touches byte " + std::to_string(offset) + " of " + what);
  }
  if (allocation->kind == MemoryKind::kPinned) {
    fail("pinned memory is touched while a copy is in flight: byte " + std::to_string(offset) +
         " of " + what);
  }
  fail(who + " touches device memory: byte " + std::to_string(offset) + " of " + what);
}

void reserve() {
  Memory& m = memory();
  if (m.next != nullptr) return;
  void* range =
      mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) fail("cannot reserve addresses for device memory");
  m.next = static_cast<char*>(range) + kPage;
  m.end = static_cast<char*>(range) + kReserved;
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}

void check_canary(const Allocation& a, const char* when) {
  if (sanitizer::catches_poison()) return;
  const char* const end = a.data + a.bytes;
  for (const char* c = a.base; c < a.base + a.mapped; ++c) {
    if (c == a.data) c = end;
    if (c >= a.base + a.mapped) return;
    if (static_cast<unsigned char>(*c) == kCanary) continue;
    fail("out of bounds store: byte " + std::to_string(c - a.data) + " of " + a.describe() +
         ", found " + when);
  }
}

bool is_mapped(const void* pointer) {
  unsigned char in_core = 0;
  auto page = reinterpret_cast<uintptr_t>(pointer) / kPage * kPage;
  return mincore(reinterpret_cast<void*>(page), 1, &in_core) == 0;
}

}  // namespace

std::string Allocation::describe() const {
  return (kind == MemoryKind::kPinned ? "pinned allocation " : "device allocation ") +
         std::to_string(id) + (name.empty() ? "" : " (" + name + ")") + " of " +
         plural(static_cast<ptrdiff_t>(bytes));
}

void* allocate(size_t bytes, MemoryKind kind) {
  reserve();
  Memory& m = memory();
  if (kind == MemoryKind::kDevice && bytes > free_device_bytes()) return nullptr;
  const size_t used = round_up(bytes == 0 ? 1 : bytes, kAlignment);
  Allocation a;
  a.mapped = round_up(used, kPage);
  if (m.next + a.mapped + kPage > m.end) fail("the fake has no addresses left");
  a.base = m.next;
  m.next += a.mapped + kPage;  // the guard page is also the next one's
  a.data = a.base + (a.mapped - used);
  a.bytes = bytes;
  a.kind = kind;
  a.id = m.allocations++;
  protect(a, PROT_READ | PROT_WRITE);
  std::memset(a.base, kCanary, a.mapped);
  std::memset(a.data, kPoison, bytes);
  sanitizer::poison(a.base, static_cast<size_t>(a.data - a.base));
  sanitizer::poison(a.data + bytes, static_cast<size_t>(a.base + a.mapped - (a.data + bytes)));
  if (kind == MemoryKind::kDevice) {
    m.device_bytes += used;
    if (m.open == 0) protect(a, PROT_NONE);
  }
  void* const result = a.data;
  m.all.emplace(a.base, std::move(a));
  return result;
}

void release(void* pointer, MemoryKind kind) {
  Allocation* a = find_allocation(pointer);
  if (a == nullptr || a->data != pointer || a->kind != kind) {
    fail("free of a pointer that is no allocation of that kind");
  }
  if (!a->live) fail("double free of " + a->describe());
  {
    DeviceMemoryOpen open;
    check_canary(*a, "when it was freed");
  }
  a->live = false;
  if (kind == MemoryKind::kDevice) {
    memory().device_bytes -= round_up(a->bytes == 0 ? 1 : a->bytes, kAlignment);
  }
  madvise(a->base, a->mapped, MADV_DONTNEED);
  protect(*a, PROT_NONE);
}

size_t total_device_bytes() { return settings().device_bytes; }
size_t free_device_bytes() { return total_device_bytes() - memory().device_bytes; }

Allocation* find_allocation(const void* pointer) {
  Memory& m = memory();
  auto* at = static_cast<char*>(const_cast<void*>(pointer));
  auto next = m.all.upper_bound(at);
  if (next == m.all.begin()) return nullptr;
  Allocation& a = std::prev(next)->second;
  return at < a.base + a.mapped + kPage ? &a : nullptr;
}

void check_range(const void* pointer, size_t bytes, MemoryKind kind, const char* what) {
  const Allocation* a = find_allocation(pointer);
  if (a == nullptr || a->kind != kind) {
    fail(std::string(what) + ": " +
         (kind == MemoryKind::kPinned ? "not pinned memory of the host" : "not device memory"));
  }
  if (!a->live) fail(std::string("use after free: ") + what + " on " + a->describe());
  const ptrdiff_t offset = static_cast<const char*>(pointer) - a->data;
  if (offset < 0 || static_cast<size_t>(offset) + bytes > a->bytes) {
    fail(std::string("out of bounds: ") + what + " of " + plural(static_cast<ptrdiff_t>(bytes)) +
         " at byte " + std::to_string(offset) + " of " + a->describe());
  }
}

void check_kernel_pointer(const void* pointer, const std::string& what) {
  if (pointer == nullptr || settings().unified) return;
  const Allocation* a = find_allocation(pointer);
  if (a == nullptr) fail(what + " points to memory of the host");
  if (!a->live) fail("use after free: " + what + " points into " + a->describe());
}

void check_kernel_struct(const void* data, size_t bytes, const std::string& what) {
  if (settings().unified) return;
  for (size_t at = 0; at + sizeof(void*) <= bytes; at += sizeof(void*)) {
    const void* word = nullptr;
    std::memcpy(&word, static_cast<const char*>(data) + at, sizeof word);
    const auto value = reinterpret_cast<uintptr_t>(word);
    // Addresses of programs; smaller numbers are sizes. What else looks like one is not mapped.
    if (value < (uintptr_t{1} << 40) || value >= (uintptr_t{1} << 47)) continue;
    const Allocation* a = find_allocation(word);
    if (a != nullptr ? !a->live : is_mapped(word)) {
      check_kernel_pointer(word, what + ", byte " + std::to_string(at) + ",");
    }
  }
}

void check_canaries(const char* when) {
  for (const auto& [base, allocation] : memory().all) {
    if (allocation.live && allocation.kind == MemoryKind::kDevice) check_canary(allocation, when);
  }
}

namespace {

// The whole pages inside a range.
bool inner_pages(const void* pointer, size_t bytes, char** first, size_t* size) {
  const uintptr_t low = round_up(reinterpret_cast<uintptr_t>(pointer), kPage);
  const uintptr_t high = (reinterpret_cast<uintptr_t>(pointer) + bytes) / kPage * kPage;
  *first = reinterpret_cast<char*>(low);
  *size = high > low ? high - low : 0;
  return high > low;
}

}  // namespace

void protect_pinned(const void* pointer, size_t bytes, bool readable) {
  char* first = nullptr;
  size_t size = 0;
  if (!inner_pages(pointer, bytes, &first, &size)) return;
  mprotect(first, size, readable ? PROT_READ : PROT_NONE);
}

void unprotect_pinned(const void* pointer, size_t bytes) {
  char* first = nullptr;
  size_t size = 0;
  if (inner_pages(pointer, bytes, &first, &size)) mprotect(first, size, PROT_READ | PROT_WRITE);
}

DeviceMemoryOpen::DeviceMemoryOpen() {
  if (memory().open++ > 0) return;
  for (const auto& [base, a] : memory().all) {
    if (a.live && a.kind == MemoryKind::kDevice) protect(a, PROT_READ | PROT_WRITE);
  }
}

DeviceMemoryOpen::~DeviceMemoryOpen() {
  if (--memory().open > 0) return;
  for (const auto& [base, a] : memory().all) {
    if (a.live && a.kind == MemoryKind::kDevice) protect(a, PROT_NONE);
  }
}

void note_shared_memory(const char* low, const char* high, const char* data, size_t bytes) {
  g_shared = {low, high, data, bytes};
}

void name_allocation(const void* pointer, const char* name) {
  std::lock_guard lock(api_mutex());
  if (Allocation* a = find_allocation(pointer)) a->name = name;
}

}  // namespace fake_cuda

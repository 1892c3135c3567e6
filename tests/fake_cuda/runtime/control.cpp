#include "tests/fake_cuda/runtime/control.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "tests/fake_cuda/runtime/device.h"
#include "tests/fake_cuda/runtime/internal.h"

namespace fake_cuda {
namespace {

Settings g_settings;
bool g_configured = false;
uint64_t g_random = 1;
Counts g_counts;
const char* g_kernel = nullptr;

constexpr const char* kPolicies[] = {"eager", "lazy", "ahead", "random"};
constexpr const char* kOrders[] = {"fifo", "uniform", "warp_greedy"};

template <size_t n>
int index_of(const char* value, const char* const (&names)[n], const char* variable) {
  for (size_t i = 0; i < n; ++i) {
    if (std::strcmp(value, names[i]) == 0) return static_cast<int>(i);
  }
  fail(std::string(variable) + "=" + value + " is not known");
}

}  // namespace

std::mutex& api_mutex() {
  static std::mutex mutex;
  return mutex;
}

void fail(const std::string& message) {
  std::string line = "fake CUDA: " + message;
  if (g_kernel != nullptr) {
    char where[160];
    std::snprintf(where, sizeof where,
                  " [kernel launched at %s, block (%u,%u,%u) thread (%u,%u,%u)]", g_kernel,
                  blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    line += where;
  }
  line += "\n";
  (void)!write(STDERR_FILENO, line.data(), line.size());
  _exit(kViolationExit);
}

void set_running_kernel(const char* name) { g_kernel = name; }
const char* running_kernel() { return g_kernel; }

uint32_t random_below(uint32_t bound) {  // xorshift64
  g_random ^= g_random << 13;
  g_random ^= g_random >> 7;
  g_random ^= g_random << 17;
  return static_cast<uint32_t>(((g_random >> 32) * bound) >> 32);
}

void configure(const Settings& settings) {
  g_settings = settings;
  g_configured = true;
  g_random = (settings.seed + 1) * 0x9e3779b97f4a7c15ull;
  for (int i = 0; i < 8; ++i) random_below(2);
}

Settings settings() {
  ensure_configured();
  return g_settings;
}

void ensure_configured() {
  if (g_configured) return;
  Settings chosen;
  const char* seed = std::getenv("FAKE_CUDA_SEED");
  const char* policy = std::getenv("FAKE_CUDA_POLICY");
  const char* order = std::getenv("FAKE_CUDA_ORDER");
  const char* unified = std::getenv("FAKE_CUDA_UNIFIED");
  chosen.seed = seed != nullptr ? std::strtoull(seed, nullptr, 10)
                                : static_cast<uint64_t>(std::time(nullptr)) * 1000 +
                                      static_cast<uint64_t>(getpid()) % 1000;
  // Orders and policies each miss bugs that another shows: without a wish the seed picks.
  configure(chosen);
  chosen.policy = policy != nullptr
                      ? static_cast<Policy>(index_of(policy, kPolicies, "FAKE_CUDA_POLICY"))
                      : static_cast<Policy>(1 + random_below(3));
  chosen.order = order != nullptr
                     ? static_cast<ThreadOrder>(index_of(order, kOrders, "FAKE_CUDA_ORDER"))
                     : static_cast<ThreadOrder>(1 + random_below(2));
  chosen.unified = unified != nullptr && std::strcmp(unified, "1") == 0;
  configure(chosen);
  std::fprintf(stderr,
               "fake CUDA: FAKE_CUDA_SEED=%llu FAKE_CUDA_POLICY=%s FAKE_CUDA_ORDER=%s "
               "FAKE_CUDA_UNIFIED=%d\n",
               static_cast<unsigned long long>(chosen.seed),
               kPolicies[static_cast<int>(chosen.policy)], kOrders[static_cast<int>(chosen.order)],
               chosen.unified ? 1 : 0);
}

Counts& mutable_counts() { return g_counts; }
Counts counts() { return g_counts; }

}  // namespace fake_cuda

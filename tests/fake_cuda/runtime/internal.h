// Shared by the sources of the fake: failing, random choices, the one lock.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "tests/fake_cuda/runtime/control.h"

namespace fake_cuda {

// Every call of the API holds it. Only host functions run without it.
std::mutex& api_mutex();

// Ends the process: prints the message and, inside a kernel, its launch, block and thread.
[[noreturn]] void fail(const std::string& message);
// Where the message says a kernel was launched; null outside kernels.
void set_running_kernel(const char* name);
const char* running_kernel();

uint32_t random_below(uint32_t bound);
Counts& mutable_counts();
// Reads the environment and prints the choice, the first time.
void ensure_configured();

}  // namespace fake_cuda

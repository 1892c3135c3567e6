// How often the calling thread has called operator new since it started. The test program's
// operator new (allocation_count.cpp) counts.
#pragma once

#include <cstdint>

namespace athanor::testing {

int64_t allocations_of_this_thread();

}  // namespace athanor::testing

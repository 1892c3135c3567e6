#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

#include "tests/fake_cuda/runtime/sanitizer.h"

namespace fake_cuda::sanitizer {

void create(Fiber&) {}
void destroy(Fiber&) {}
void adopt_current(Fiber&) {}

void before_switch(Fiber& from, const Fiber& to, bool last) {
  __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack, to.stack, to.stack_bytes);
}

// Tells also where the stack lies that was left: a thread's own one is not known otherwise.
void after_switch(Fiber& self, Fiber& from) {
  const void* stack = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(self.fake_stack, &stack, &bytes);
  if (from.stack == nullptr) {
    from.stack = stack;
    from.stack_bytes = bytes;
  }
}

void act_as(const Fiber&) {}
void release(void*) {}
void acquire(void*) {}
void read(const void*, size_t) {}
void written(void*, size_t) {}
void poison(const void* pointer, size_t bytes) { __asan_poison_memory_region(pointer, bytes); }
void unpoison(const void* pointer, size_t bytes) { __asan_unpoison_memory_region(pointer, bytes); }
bool catches_poison() { return true; }
Quiet::Quiet() {}
Quiet::~Quiet() {}
bool tracks_races() { return false; }

}  // namespace fake_cuda::sanitizer

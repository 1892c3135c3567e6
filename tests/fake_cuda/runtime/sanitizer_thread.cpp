// ThreadSanitizer as a race checker: every CUDA thread and every stream is a fiber, and the only
// order between fibers is what release and acquire say.
#include <sanitizer/tsan_interface.h>

#include "tests/fake_cuda/runtime/sanitizer.h"

extern "C" {
void __tsan_ignore_thread_begin();
void __tsan_ignore_thread_end();
void __tsan_read_range(void* pointer, unsigned long bytes);
void __tsan_write_range(void* pointer, unsigned long bytes);
}

namespace fake_cuda::sanitizer {

void create(Fiber& fiber) { fiber.handle = __tsan_create_fiber(0); }
void destroy(Fiber& fiber) {
  if (fiber.handle != nullptr) __tsan_destroy_fiber(fiber.handle);
  fiber.handle = nullptr;
}
void adopt_current(Fiber& fiber) { fiber.handle = __tsan_get_current_fiber(); }
void before_switch(Fiber&, const Fiber& to, bool) { act_as(to); }
void after_switch(Fiber&, Fiber&) {}
void act_as(const Fiber& fiber) {
  __tsan_switch_to_fiber(fiber.handle, __tsan_switch_to_fiber_no_sync);
}
void release(void* tag) { __tsan_release(tag); }
void acquire(void* tag) { __tsan_acquire(tag); }
void read(const void* pointer, size_t bytes) {
  __tsan_read_range(const_cast<void*>(pointer), bytes);
}
void written(void* pointer, size_t bytes) { __tsan_write_range(pointer, bytes); }
void poison(const void*, size_t) {}
void unpoison(const void*, size_t) {}
bool catches_poison() { return false; }
Quiet::Quiet() { __tsan_ignore_thread_begin(); }
Quiet::~Quiet() { __tsan_ignore_thread_end(); }
bool tracks_races() { return true; }

}  // namespace fake_cuda::sanitizer

#include "tests/fake_cuda/runtime/sanitizer.h"

namespace fake_cuda::sanitizer {

void create(Fiber&) {}
void destroy(Fiber&) {}
void adopt_current(Fiber&) {}
void before_switch(Fiber&, const Fiber&, bool) {}
void after_switch(Fiber&, Fiber&) {}
void act_as(const Fiber&) {}
void release(void*) {}
void acquire(void*) {}
void read(const void*, size_t) {}
void written(void*, size_t) {}
void poison(const void*, size_t) {}
void unpoison(const void*, size_t) {}
bool catches_poison() { return false; }
Quiet::Quiet() {}
Quiet::~Quiet() {}
bool tracks_races() { return false; }

}  // namespace fake_cuda::sanitizer

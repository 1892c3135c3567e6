// What the fake tells a sanitizer: fibers, order between them, memory that is out of bounds. One of
// sanitizer_{none,address,thread}.cpp is built.
#pragma once

#include <cstddef>

namespace fake_cuda::sanitizer {

// A fiber as the sanitizer knows it. `stack` is its lowest address; null for a thread's own stack.
struct Fiber {
  void* handle = nullptr;
  void* fake_stack = nullptr;
  const void* stack = nullptr;
  size_t stack_bytes = 0;
};

void create(Fiber& fiber);
void destroy(Fiber& fiber);
void adopt_current(Fiber& fiber);
// Around a switch of stacks; `last` when `from` never runs again.
void before_switch(Fiber& from, const Fiber& to, bool last);
void after_switch(Fiber& self, Fiber& from);
// Attributes what the calling thread does to `fiber`, without a switch of stacks.
void act_as(const Fiber& fiber);

// What happened before release(tag) happened before what follows acquire(tag).
void release(void* tag);
void acquire(void* tag);
// Accesses on behalf of the current fiber by code that is not instrumented.
void read(const void* pointer, size_t bytes);
void written(void* pointer, size_t bytes);

// Memory that must not be touched, or may be again.
void poison(const void* pointer, size_t bytes);
void unpoison(const void* pointer, size_t bytes);
// True when `poison` catches stores itself, with their line.
bool catches_poison();

// The fake's own accesses are of no interest.
class Quiet {
 public:
  Quiet();
  ~Quiet();
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

// True when memory mapped anew forgets who touched it before.
bool tracks_races();

}  // namespace fake_cuda::sanitizer

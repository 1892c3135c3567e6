#include "tests/fake_cuda/runtime/streams.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <vector>

#include "tests/fake_cuda/runtime/internal.h"
#include "tests/fake_cuda/runtime/memory.h"

namespace fake_cuda {
namespace {

std::vector<CUstream_st*>& streams() {
  static auto* const instance = new std::vector<CUstream_st*>;
  return *instance;
}

std::condition_variable& host_function_done() {
  static auto* const instance = new std::condition_variable;
  return *instance;
}

int g_streams_made = 0;

std::vector<CUstream_st*> runnable() {
  std::vector<CUstream_st*> result;
  for (CUstream_st* stream : streams()) {
    if (stream->can_run()) result.push_back(stream);
  }
  return result;
}

// Runs the first operation of a stream, as the stream's fiber.
void step(Lock& lock, CUstream_st& stream) {
  CUstream_st::Operation operation = std::move(stream.queue.front());
  stream.queue.pop_front();
  ++mutable_counts().operations;
  stream.busy = true;
  if (operation.on_host) lock.unlock();
  sanitizer::Fiber host;
  sanitizer::adopt_current(host);
  sanitizer::act_as(stream.fiber);
  sanitizer::acquire(operation.tag.get());
  if (operation.on_host) {
    operation.run(stream);
  } else {
    DeviceMemoryOpen open;
    operation.run(stream);
  }
  {  // freed by the one who used it last
    sanitizer::Quiet quiet;
    operation = {};
  }
  sanitizer::act_as(host);
  if (!lock.owns_lock()) lock.lock();
  stream.busy = false;
  host_function_done().notify_all();
}

CUstream_st* choose(const std::vector<CUstream_st*>& candidates, const CUstream_st* wanted) {
  switch (settings().policy) {
    case Policy::kEager:
      return candidates.front();
    case Policy::kLazy:
      for (CUstream_st* stream : candidates) {
        if (stream == wanted) return stream;
      }
      return candidates.back();
    case Policy::kAhead:
      for (CUstream_st* stream : candidates) {
        if (stream != wanted) return stream;
      }
      return candidates.front();
    case Policy::kRandom:
      break;
  }
  return candidates[random_below(static_cast<uint32_t>(candidates.size()))];
}

// What may already run while the host goes on.
void run_early(Lock& lock) {
  const Policy policy = settings().policy;
  if (policy == Policy::kLazy || policy == Policy::kAhead) return;
  uint32_t most = 1000;
  if (policy == Policy::kRandom) most = random_below(4) != 0 ? 0 : random_below(3);
  for (uint32_t i = 0; i < most; ++i) {
    const std::vector<CUstream_st*> candidates = runnable();
    if (candidates.empty()) return;
    step(lock, *choose(candidates, nullptr));
  }
}

// The host may rely on all that the stream has done.
void acquire_stream(CUstream_st& stream) {
  sanitizer::Fiber host;
  sanitizer::adopt_current(host);
  sanitizer::act_as(stream.fiber);
  sanitizer::release(stream.tag);
  sanitizer::act_as(host);
  sanitizer::acquire(stream.tag);
}

}  // namespace

CUstream_st* create_stream() {
  auto* stream = new CUstream_st;
  stream->id = g_streams_made++;
  sanitizer::create(stream->fiber);
  streams().push_back(stream);
  return stream;
}

void destroy_stream(Lock& lock, CUstream_st* stream) {
  run_until(
      lock, [stream] { return stream->idle(); }, &checked(stream));
  streams().erase(std::find(streams().begin(), streams().end(), stream));
  sanitizer::destroy(stream->fiber);
  delete stream;
}

CUstream_st& checked(CUstream_st* stream) {
  if (stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread) {
    fail("the default stream orders what should be independent: name a stream");
  }
  const auto& all = streams();
  if (std::find(all.begin(), all.end(), stream) == all.end()) fail("a stream that is gone");
  return *stream;
}

void enqueue(Lock& lock, CUstream_st& stream, std::function<void(CUstream_st&)> run,
             std::function<bool()> can_run, bool on_host) {
  auto tag = std::make_unique<char[]>(8);
  sanitizer::release(tag.get());
  {
    sanitizer::Quiet quiet;
    stream.queue.push_back({std::move(run), std::move(can_run), std::move(tag), on_host});
  }
  run_early(lock);
}

void run_until(Lock& lock, const std::function<bool()>& done, const CUstream_st* wanted) {
  while (!done()) {
    const std::vector<CUstream_st*> candidates = runnable();
    if (!candidates.empty()) {
      step(lock, *choose(candidates, wanted));
      continue;
    }
    const auto& all = streams();
    const bool busy = std::any_of(all.begin(), all.end(), [](const auto* s) { return s->busy; });
    if (!busy) fail("streams are stuck: nothing can run, but the host waits");
    host_function_done().wait(lock);
  }
}

void synchronize(Lock& lock, CUstream_st& stream) {
  ++mutable_counts().host_waits;
  run_until(
      lock, [&stream] { return stream.idle(); }, &stream);
  acquire_stream(stream);
}

void synchronize_all(Lock& lock) {
  ++mutable_counts().host_waits;
  const auto all_idle = [] {
    return std::all_of(streams().begin(), streams().end(), [](const auto* s) { return s->idle(); });
  };
  run_until(lock, all_idle, nullptr);
  for (CUstream_st* stream : streams()) acquire_stream(*stream);
}

}  // namespace fake_cuda

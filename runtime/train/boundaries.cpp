#include "runtime/train/boundaries.h"

#include <algorithm>

#include "core/error.h"

namespace athanor {
namespace {

// A visit uses at most three tensors (input, output or gradient); the next one's are on their way
// in while the last one's are on their way out.
constexpr int kBuffers = 6;
constexpr DiskLabel kLabel{"boundary activations", ""};

}  // namespace

Boundaries::Boundaries(const BoundaryOptions& options, Allocator& device, DiskTier* disk,
                       Stream& compute)
    : options_(options), disk_(disk), compute_(compute) {
  const auto inputs = static_cast<size_t>((options.positions - 1) * options.slots);
  const auto gradients = static_cast<size_t>(options.slots);
  const Shape shape{options.tokens, options.hidden_size};
  items_.resize(inputs + gradients);
  // The gradient of an only slot is used by every visit: it stays in memory.
  const size_t stay = !options.on_disk ? items_.size() : options.slots == 1 ? gradients : 0;
  const size_t leave = items_.size() - stay;
  const int64_t bytes = align_up(shape.numel() * dtype_size(options.dtype));
  arena_ = Arena(device, static_cast<int64_t>(stay) * bytes);
  for (size_t i = 0; i < items_.size(); ++i) {
    if (i < leave) {
      items_[i].region = disk->reserve(bytes_of(options.tokens));
    } else {
      items_[i].memory = arena_.take(options.dtype, shape);
    }
  }
  cache_.resize(std::min<size_t>(leave, kBuffers));
  for (Cached& cached : cache_) cached.memory = Buffer(device, bytes_of(options.tokens));
}

// Whole disk blocks: no edge of a transfer needs to be read first.
int64_t Boundaries::bytes_of(int64_t tokens) const {
  return align_up(tokens * options_.hidden_size * dtype_size(options_.dtype), DiskTier::kDiskBlock);
}

int Boundaries::item_of(int64_t position, int64_t slot) const {
  ATHANOR_CHECK(position >= 1, "the embedding has no input tensor");
  return static_cast<int>((position - 1) * options_.slots + (options_.slots > 1 ? slot : 0));
}

int Boundaries::gradient_of(int64_t slot) const {
  return item_of(options_.positions, slot);  // behind the inputs
}

Boundaries::Touched Boundaries::touched(const Visit& visit) const {
  Touched touched;
  const int64_t position = visit.position;
  const bool head = position + 1 == options_.positions;
  if (visit.pass == Pass::kBackward || visit.pass == Pass::kLoss) {
    touched.gradient = gradient_of(visit.slot);
    touched.gradient_begins = visit.pass == Pass::kLoss;
  }
  if (position > 0) touched.input = item_of(position, visit.slot);
  const bool forward = visit.pass == Pass::kForward || visit.pass == Pass::kEvaluate;
  if (forward && !head) touched.output = item_of(position + 1, visit.slot);
  return touched;
}

// A buffer that nobody uses, the longest unused one. What it held was written when it was made.
int Boundaries::take_buffer(int item) {
  int best = -1;
  for (size_t i = 0; i < cache_.size(); ++i) {
    if (cache_[i].in_use) continue;
    if (best < 0 || cache_[i].last_use < cache_[index(best)].last_use) best = static_cast<int>(i);
  }
  if (best < 0) return best;
  Cached& cached = cache_[index(best)];
  if (cached.item >= 0) items_[index(cached.item)].buffer = -1;
  cached.item = item;
  items_[index(item)].buffer = best;
  return best;
}

// Into the buffer that has been taken for the item, once nothing computes on it any more.
void Boundaries::start_read(int item, int64_t tokens) {
  const Item& entry = items_[index(item)];
  Cached& cached = cache_[index(entry.buffer)];
  disk_->stream().wait(compute_.record());
  disk_->read(cached.memory.data(), entry.region, 0, bytes_of(tokens), kLabel);
  cached.ready = disk_->stream().record();
}

Tensor Boundaries::fetch(int item, int64_t tokens, bool read) {
  if (item < 0) return {};
  const Shape shape{tokens, options_.hidden_size};
  Item& entry = items_[index(item)];
  if (entry.memory.defined()) return entry.memory.rows(0, tokens);
  if (entry.buffer < 0) {
    ATHANOR_CHECK(take_buffer(item) >= 0, "more boundary tensors in use than buffers");
    Cached& cached = cache_[index(entry.buffer)];
    if (read) {
      start_read(item, tokens);
    } else {
      cached.ready = cached.written;
    }
  }
  Cached& cached = cache_[index(entry.buffer)];
  // A tensor that is changed again must have left before.
  compute_.wait(cached.written);
  compute_.wait(cached.ready);
  cached.in_use = true;
  cached.last_use = ++clock_;
  return Tensor(cached.memory.data(), options_.dtype, shape);
}

BoundaryUse Boundaries::begin(const Visit& visit, int64_t tokens) {
  const Touched touch = touched(visit);
  BoundaryUse use;
  use.input = fetch(touch.input, tokens, true);
  use.gradient = fetch(touch.gradient, tokens, !touch.gradient_begins);
  use.output = fetch(touch.output, tokens, false);
  return use;
}

void Boundaries::prefetch(const Visit& visit, int64_t tokens) {
  const Touched touch = touched(visit);
  for (const int item : {touch.input, touch.gradient_begins ? -1 : touch.gradient}) {
    if (item < 0) continue;
    Item& entry = items_[index(item)];
    if (entry.memory.defined() || entry.buffer >= 0) continue;
    if (take_buffer(item) < 0) return;
    cache_[index(entry.buffer)].last_use = ++clock_;
    start_read(item, tokens);
  }
}

void Boundaries::write_back(int item, int64_t tokens) {
  if (item < 0 || items_[index(item)].memory.defined()) return;
  Cached& cached = cache_[index(items_[index(item)].buffer)];
  disk_->stream().wait(compute_.record());
  disk_->write(cached.memory.data(), items_[index(item)].region, 0, bytes_of(tokens), kLabel);
  cached.written = disk_->stream().record();
}

// `dead`: not read again in this step; its buffer is the next to be taken.
void Boundaries::release(int item, bool dead) {
  if (item < 0 || items_[index(item)].memory.defined()) return;
  Cached& cached = cache_[index(items_[index(item)].buffer)];
  cached.in_use = false;
  if (!dead) return;
  items_[index(item)].buffer = -1;
  cached.item = -1;
  cached.last_use = 0;
}

void Boundaries::end(const Visit& visit, int64_t tokens) {
  const Touched touch = touched(visit);
  const bool evaluates = visit.pass == Pass::kEvaluate;  // an output is read by the next visit
  if (!evaluates) write_back(touch.output, tokens);
  write_back(touch.gradient, tokens);
  release(touch.output, false);
  release(touch.gradient, false);
  release(touch.input, visit.input_dies);
}

}  // namespace athanor

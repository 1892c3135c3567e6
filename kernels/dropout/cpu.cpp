#include "kernels/dropout/cpu.h"

#include "core/dtype.h"
#include "kernels/dropout/philox_run.h"
#include "kernels/elementwise/tiles.h"

namespace athanor::cpu {
namespace {

static_assert(kTile % kPhiloxRun == 0);

// to[i] = x[begin + i] * factor, or 0 where dropped, whatever x is. Tiles begin at multiples of 4.
template <class T>
void load_dropped(float* to, const T* x, const DropoutMask& mask, int64_t begin, int64_t count) {
  alignas(64) uint32_t bits[kTile];
  for (int64_t i = 0; i < count; i += kPhiloxRun) {
    philox_run(bits + i, mask, static_cast<uint32_t>((begin + i) / 4));
  }
  load_tile(to, x + begin, count);
  const auto threshold = static_cast<int32_t>(mask.threshold);  // at most 2^24
  const float keep_scale = mask.keep_scale;
  for (int64_t i = 0; i < count; ++i) {
    const float value = to[i] * keep_scale;
    to[i] = static_cast<int32_t>(bits[i] >> 8) >= threshold ? value : 0.0f;
  }
}

}  // namespace

template <class T>
void dropout(ThreadPool& pool, T* y, const T* x, const DropoutMask& mask, int64_t n) {
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    alignas(64) float tile[kTile];
    load_dropped(tile, x, mask, begin, count);
    store_tile(y + begin, tile, count);
  });
}

template <class T>
void dropout_add(ThreadPool& pool, T* y, const T* x, const DropoutMask& mask, int64_t n) {
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    alignas(64) float tile[kTile];
    alignas(64) float sum[kTile];
    load_dropped(tile, x, mask, begin, count);
    load_tile(sum, y + begin, count);
    for (int64_t i = 0; i < count; ++i) sum[i] += tile[i];
    store_tile(y + begin, sum, count);
  });
}

template void dropout(ThreadPool&, float*, const float*, const DropoutMask&, int64_t);
template void dropout(ThreadPool&, bfloat16*, const bfloat16*, const DropoutMask&, int64_t);
template void dropout_add(ThreadPool&, float*, const float*, const DropoutMask&, int64_t);
template void dropout_add(ThreadPool&, bfloat16*, const bfloat16*, const DropoutMask&, int64_t);

}  // namespace athanor::cpu

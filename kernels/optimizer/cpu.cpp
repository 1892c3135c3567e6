#include "kernels/optimizer/cpu.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "core/dtype.h"
#include "core/pairwise.h"
#include "kernels/elementwise/cpu.h"
#include "kernels/elementwise/tiles.h"

namespace athanor::cpu {
namespace {

void adamw_chunk(float* __restrict w, float* __restrict m, float* __restrict v,
                 const float* __restrict grad, AdamWScalars scalars, int64_t n) {
  for (int64_t i = 0; i < n; ++i) adamw_element(w[i], m[i], v[i], grad[i], scalars);
}

void lion_chunk(float* __restrict w, float* __restrict m, const float* __restrict grad,
                LionScalars scalars, int64_t n) {
  for (int64_t i = 0; i < n; ++i) lion_element(w[i], m[i], grad[i], scalars);
}

void sgd_chunk(float* __restrict w, const float* __restrict grad, SgdScalars scalars, int64_t n) {
  for (int64_t i = 0; i < n; ++i) sgd_element(w[i], grad[i], scalars);
}

// The codes of a kind, and how many midpoints lie below any float whose upper 16 bits are given:
// at most one more midpoint lies between two such floats, so a code is one lookup and one
// comparison.
class Codebook {
 public:
  explicit Codebook(EightBitKind kind) {
    for (int code = 0; code < 256; ++code) values_[code] = code_value(kind, code);
    for (uint32_t upper = 0; upper < first_guess_.size(); ++upper) {
      // The end of the interval that is nearer to minus infinity.
      const bool negative = upper >= 0x8000;
      const auto lowest = std::bit_cast<float>(upper << 16 | (negative ? 0xffffu : 0u));
      const bool number = lowest == lowest;
      first_guess_[upper] = static_cast<uint8_t>(number ? nearest_code(values_, lowest) : 255);
    }
  }
  float value(uint8_t code) const { return values_[code]; }
  int nearest(float x) const {
    const int guess = first_guess_[std::bit_cast<uint32_t>(x) >> 16];
    return guess + (guess < 255 && code_midpoint(values_, guess) < x ? 1 : 0);
  }

 private:
  float values_[256];
  std::array<uint8_t, 65536> first_guess_;
};

const Codebook& codebook(EightBitKind kind) {
  static const Codebook with_sign(EightBitKind::kSigned);
  static const Codebook without(EightBitKind::kUnsigned);
  return kind == EightBitKind::kSigned ? with_sign : without;
}

float largest(const float* x) {
  float max = 0;
  for (int i = 0; i < kEightBitBlock; ++i) max = std::max(max, std::fabs(x[i]));
  return max;
}

// A block of up to 128 elements; those that are missing are zeros.
void adamw8_block(float* w, EightBitBlock& m, EightBitBlock& v, const float* grad,
                  const AdamWScalars& scalars, int64_t n) {
  const Codebook& of_m = codebook(EightBitKind::kSigned);
  const Codebook& of_v = codebook(EightBitKind::kUnsigned);
  float first[kEightBitBlock] = {};
  float second[kEightBitBlock] = {};
  for (int64_t i = 0; i < n; ++i) {
    first[i] = of_m.value(m.code[i]) * m.absmax;
    second[i] = of_v.value(v.code[i]) * v.absmax;
  }
  adamw_chunk(w, first, second, grad, scalars, n);
  m.absmax = largest(first);
  v.absmax = largest(second);
  for (int i = 0; i < kEightBitBlock; ++i) {
    m.code[i] = static_cast<uint8_t>(of_m.nearest(share_of(first[i], m.absmax)));
    v.code[i] = static_cast<uint8_t>(
        second_moment_code(of_v.nearest(share_of(second[i], v.absmax)), second[i]));
  }
}

}  // namespace

template <class W>
void adamw_update(ThreadPool& pool, W* working, float* master, float* m, float* v,
                  const float* grad, const AdamWOptions& options, double weight_decay,
                  const StepScalars* step, int64_t n) {
  const AdamWScalars scalars = adamw_scalars(options, weight_decay, *step);
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    adamw_chunk(master + begin, m + begin, v + begin, grad + begin, scalars, count);
    if (working != nullptr) store_tile(working + begin, master + begin, count);
  });
}

template <class W>
void adamw8_update(ThreadPool& pool, W* working, float* master, EightBitBlock* m, EightBitBlock* v,
                   const float* grad, const AdamWOptions& options, double weight_decay,
                   const StepScalars* step, int64_t n) {
  const AdamWScalars scalars = adamw_scalars(options, weight_decay, *step);
  static_assert(kTile % kEightBitBlock == 0);
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    for (int64_t i = begin; i < begin + count; i += kEightBitBlock) {
      const int64_t block = i / kEightBitBlock;
      adamw8_block(master + i, m[block], v[block], grad + i, scalars,
                   std::min<int64_t>(kEightBitBlock, begin + count - i));
    }
    if (working != nullptr) store_tile(working + begin, master + begin, count);
  });
}

template <class W>
void lion_update(ThreadPool& pool, W* working, float* master, float* m, const float* grad,
                 const AdamWOptions& options, double weight_decay, const StepScalars* step,
                 int64_t n) {
  const LionScalars scalars = lion_scalars(options, weight_decay, *step);
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    lion_chunk(master + begin, m + begin, grad + begin, scalars, count);
    if (working != nullptr) store_tile(working + begin, master + begin, count);
  });
}

template <class W>
void sgd_update(ThreadPool& pool, W* working, float* master, const float* grad, double weight_decay,
                const StepScalars* step, int64_t n) {
  const SgdScalars scalars = sgd_scalars(weight_decay, *step);
  for_tiles(pool, n, [&](int64_t begin, int64_t count) {
    sgd_chunk(master + begin, grad + begin, scalars, count);
    if (working != nullptr) store_tile(working + begin, master + begin, count);
  });
}

void block_square_sums(ThreadPool& pool, double* sums, const float* x, int64_t n) {
  static_assert(kChunk % kSumBlock == 0);
  for_chunks(pool, n, kChunk, [&](int64_t begin, int64_t count, int) {
    for (int64_t i = begin; i < begin + count; i += kSumBlock) {
      const float* block = x + i;
      sums[i / kSumBlock] =
          static_cast<double>(block_sum(std::min(kSumBlock, n - i), [block](int64_t k, float lane) {
            return std::fma(block[k], block[k], lane);
          }));
    }
  });
}

void tree_add(ThreadPool& pool, float* y, const float* a, const float* b, int64_t n) {
  add(pool, y, a, b, n);
}

template void adamw_update(ThreadPool&, float*, float*, float*, float*, const float*,
                           const AdamWOptions&, double, const StepScalars*, int64_t);
template void adamw_update(ThreadPool&, bfloat16*, float*, float*, float*, const float*,
                           const AdamWOptions&, double, const StepScalars*, int64_t);
template void adamw8_update(ThreadPool&, float*, float*, EightBitBlock*, EightBitBlock*,
                            const float*, const AdamWOptions&, double, const StepScalars*, int64_t);
template void adamw8_update(ThreadPool&, bfloat16*, float*, EightBitBlock*, EightBitBlock*,
                            const float*, const AdamWOptions&, double, const StepScalars*, int64_t);
template void lion_update(ThreadPool&, float*, float*, float*, const float*, const AdamWOptions&,
                          double, const StepScalars*, int64_t);
template void lion_update(ThreadPool&, bfloat16*, float*, float*, const float*, const AdamWOptions&,
                          double, const StepScalars*, int64_t);
template void sgd_update(ThreadPool&, float*, float*, const float*, double, const StepScalars*,
                         int64_t);
template void sgd_update(ThreadPool&, bfloat16*, float*, const float*, double, const StepScalars*,
                         int64_t);

}  // namespace athanor::cpu

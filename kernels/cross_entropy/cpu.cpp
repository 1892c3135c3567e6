// A row is read three times, the second and third time from cache: maximum, sum of exponentials,
// gradient. Nothing is skipped, so that a NaN or infinity anywhere in a row reaches its loss.
#include "kernels/cross_entropy/cpu.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/dtype.h"
#include "core/error.h"
#include "core/pairwise.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/elementwise/tiles.h"

namespace athanor::cpu {
namespace {

constexpr int64_t kTaskElements = 32768;

// The largest element; NaNs are passed over.
float row_max(const float* __restrict x, int64_t n) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  float lanes[32];
  std::fill(lanes, lanes + 32, kLowest);
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    for (int lane = 0; lane < 32; ++lane) {
      lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
    }
  }
  float max = kLowest;
  for (; i < n; ++i) max = x[i] > max ? x[i] : max;
  for (float lane : lanes) max = lane > max ? lane : max;
  return max;
}

// dlogits[v] = exp(logits[v] - max) * scale. It may be in place: a block is read before it is
// written, which also tells the compiler so.
template <class T>
void row_gradient(T* dlogits, const float* logits, float max, float scale, int64_t n) {
  constexpr int64_t kBlock = 32;
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    float block[kBlock];
    for (int64_t lane = 0; lane < kBlock; ++lane) {
      block[lane] = exp_f32(logits[i + lane] - max) * scale;
    }
    for (int64_t lane = 0; lane < kBlock; ++lane) dlogits[i + lane] = from_float<T>(block[lane]);
  }
  for (; i < n; ++i) dlogits[i] = from_float<T>(exp_f32(logits[i] - max) * scale);
}

// The same with the slope of the cap.
template <class T>
void capped_row_gradient(T* dlogits, const float* logits, float max, float scale, float cap,
                         int64_t n) {
  const float inverse_cap = 1.0f / cap;
  constexpr int64_t kBlock = 32;
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t count = std::min(kBlock, n - i);
    float block[kBlock];
    for (int64_t lane = 0; lane < count; ++lane) {
      const float logit = logits[i + lane];
      const float tanh = logit * inverse_cap;
      block[lane] = exp_f32(logit - max) * scale * std::fma(-tanh, tanh, 1.0f);
    }
    for (int64_t lane = 0; lane < count; ++lane) dlogits[i + lane] = from_float<T>(block[lane]);
  }
}

template <class T>
float row_loss(T* dlogits, const float* logits, int64_t target, float soft_cap, double loss_scale,
               int64_t vocab) {
  const float max = row_max(logits, vocab);
  const float target_logit = logits[target];
  const double sum =
      blocked_sum(vocab, [=](int64_t i, float lane) { return lane + exp_f32(logits[i] - max); });
  if (dlogits != nullptr) {
    const auto scale = static_cast<float>(loss_scale / sum);
    double slope = 1.0;
    if (soft_cap > 0) {
      capped_row_gradient(dlogits, logits, max, scale, soft_cap, vocab);
      const double tanh = static_cast<double>(target_logit) / static_cast<double>(soft_cap);
      slope -= tanh * tanh;
    } else {
      row_gradient(dlogits, logits, max, scale, vocab);
    }
    const double p = static_cast<double>(exp_f32(target_logit - max)) / sum;
    dlogits[target] = from_float<T>(static_cast<float>((p - 1.0) * slope * loss_scale));
  }
  // The difference first: beside a large maximum the logarithm would be lost.
  return static_cast<float>(std::log(sum) +
                            (static_cast<double>(max) - static_cast<double>(target_logit)));
}

}  // namespace

template <class T>
void cross_entropy(ThreadPool& pool, float* loss, T* dlogits, const float* logits,
                   const int32_t* targets, float soft_cap, const StepScalars* scalars, int64_t rows,
                   int64_t vocab) {
  const int64_t task_rows = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, vocab));
  pool.parallel_for((rows + task_rows - 1) / task_rows, [&](int64_t task, int) {
    const int64_t end = std::min(rows, (task + 1) * task_rows);
    for (int64_t n = task * task_rows; n < end; ++n) {
      ATHANOR_CHECK(targets[n] >= 0 && targets[n] < vocab,
                    "cross_entropy: targets[" + std::to_string(n) + "] is " +
                        std::to_string(targets[n]) + ", vocab_size is " + std::to_string(vocab));
      loss[n] =
          row_loss(dlogits == nullptr ? nullptr : dlogits + n * vocab, logits + n * vocab,
                   targets[n], soft_cap, dlogits == nullptr ? 0.0 : scalars->loss_scale, vocab);
    }
  });
}

void soft_cap_logits(ThreadPool& pool, float* logits, float cap, int64_t n) {
  for_chunks(pool, n, kChunk, [&](int64_t begin, int64_t count, int) {
    float* __restrict x = logits + begin;
    for (int64_t i = 0; i < count; ++i) x[i] = soft_cap_f32(x[i], cap);
  });
}

void add_sum(ThreadPool& pool, double* sum, const float* values, int64_t count) {
  pool.parallel_for(1, [&](int64_t, int) {
    *sum += blocked_sum(count, [=](int64_t i, float lane) { return lane + values[i]; });
  });
}

template void cross_entropy(ThreadPool&, float*, float*, const float*, const int32_t*, float,
                            const StepScalars*, int64_t, int64_t);
template void cross_entropy(ThreadPool&, float*, bfloat16*, const float*, const int32_t*, float,
                            const StepScalars*, int64_t, int64_t);

}  // namespace athanor::cpu

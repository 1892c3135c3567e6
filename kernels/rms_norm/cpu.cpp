// A row is read twice: once for its sum, once for its result, the second time from cache.
#include "kernels/rms_norm/cpu.h"

#include <cmath>

#include "core/dtype.h"
#include "core/pairwise.h"
#include "kernels/elementwise/tiles.h"

namespace athanor::cpu {
namespace {

template <class T>
float row_rstd(const T* __restrict x, int64_t columns, double eps) {
  const double sum = blocked_sum(columns, [x](int64_t c, float lane) {
    const float value = to_float(x[c]);
    return std::fma(value, value, lane);
  });
  return static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(columns) + eps));
}

template <class T>
void row_forward(T* __restrict y, const T* __restrict x, const T* __restrict weight, float rstd,
                 float offset, int64_t columns) {
  for (int64_t c = 0; c < columns; ++c) {
    y[c] = from_float<T>(to_float(x[c]) * rstd * (offset + to_float(weight[c])));
  }
}

template <class T>
void row_backward(T* __restrict dx, const T* __restrict dy, const T* __restrict x,
                  const T* __restrict weight, float rstd, float offset, int64_t columns) {
  const double sum = blocked_sum(columns, [=](int64_t c, float lane) {
    return std::fma(to_float(dy[c]) * (offset + to_float(weight[c])), to_float(x[c]), lane);
  });
  const double scale = static_cast<double>(rstd) * static_cast<double>(rstd);
  const float along_x = static_cast<float>(scale * (sum / static_cast<double>(columns)));
  for (int64_t c = 0; c < columns; ++c) {
    const float g = to_float(dy[c]) * (offset + to_float(weight[c]));
    dx[c] = from_float<T>(std::fma(rstd, std::fma(-to_float(x[c]), along_x, g), to_float(dx[c])));
  }
}

template <class T>
void add_row_dweight(float* __restrict sum, const T* __restrict dy, const T* __restrict x,
                     float rstd, int64_t columns) {
  for (int64_t c = 0; c < columns; ++c) {
    sum[c] = std::fma(to_float(dy[c]), to_float(x[c]) * rstd, sum[c]);
  }
}

// Chunk sums [chunks, columns] combined along the pairwise tree into the first row, for columns
// [first, first + count).
void tree_add_chunks(float* sums, int64_t begin, int64_t chunks, int64_t columns, int64_t first,
                     int64_t count) {
  if (chunks == 1) return;
  const int64_t left = tree_split(chunks);
  tree_add_chunks(sums, begin, left, columns, first, count);
  tree_add_chunks(sums, begin + left, chunks - left, columns, first, count);
  float* __restrict to = sums + begin * columns + first;
  const float* __restrict from = sums + (begin + left) * columns + first;
  for (int64_t c = 0; c < count; ++c) to[c] += from[c];
}

}  // namespace

template <class T>
void rms_norm_forward(ThreadPool& pool, T* y, float* rstd, const T* x, const T* weight, double eps,
                      float offset, int64_t rows, int64_t columns) {
  for_chunks(pool, rows, rows_per_chunk(columns), [&](int64_t begin, int64_t count, int) {
    for (int64_t n = begin; n < begin + count; ++n) {
      rstd[n] = row_rstd(x + n * columns, columns, eps);
      row_forward(y + n * columns, x + n * columns, weight, rstd[n], offset, columns);
    }
  });
}

template <class T>
void rms_norm_backward(ThreadPool& pool, T* dx, float* dweight, const T* dy, const T* x,
                       const float* rstd, const T* weight, float offset, float* workspace,
                       int64_t rows, int64_t columns) {
  const int64_t chunk_rows = dweight != nullptr ? kRmsNormChunkRows : rows_per_chunk(columns);
  for_chunks(pool, rows, chunk_rows, [&](int64_t begin, int64_t count, int) {
    float* sum = dweight != nullptr ? workspace + begin / chunk_rows * columns : nullptr;
    for (int64_t c = 0; sum != nullptr && c < columns; ++c) sum[c] = 0.0f;
    for (int64_t n = begin; n < begin + count; ++n) {
      const int64_t row = n * columns;
      if (sum != nullptr) add_row_dweight(sum, dy + row, x + row, rstd[n], columns);
      row_backward(dx + row, dy + row, x + row, weight, rstd[n], offset, columns);
    }
  });
  if (dweight == nullptr || rows == 0) return;
  const int64_t chunks = (rows + chunk_rows - 1) / chunk_rows;
  for_chunks(pool, columns, kTile, [&](int64_t first, int64_t count, int) {
    tree_add_chunks(workspace, 0, chunks, columns, first, count);
    for (int64_t c = first; c < first + count; ++c) dweight[c] += workspace[c];
  });
}

template void rms_norm_forward(ThreadPool&, float*, float*, const float*, const float*, double,
                               float, int64_t, int64_t);
template void rms_norm_forward(ThreadPool&, bfloat16*, float*, const bfloat16*, const bfloat16*,
                               double, float, int64_t, int64_t);
template void rms_norm_backward(ThreadPool&, float*, float*, const float*, const float*,
                                const float*, const float*, float, float*, int64_t, int64_t);
template void rms_norm_backward(ThreadPool&, bfloat16*, float*, const bfloat16*, const bfloat16*,
                                const float*, const bfloat16*, float, float*, int64_t, int64_t);

}  // namespace athanor::cpu

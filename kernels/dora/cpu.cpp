#include "kernels/dora/cpu.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/dtype.h"
#include "kernels/elementwise/tiles.h"
#include "kernels/matmul/prepared.h"

namespace athanor::cpu {
namespace {

// Columns of one task that walks all rows.
constexpr int64_t kColumnBlock = 64;

double square(float value) { return static_cast<double>(value) * static_cast<double>(value); }

template <class T>
void store(T* to, float value) {
  if constexpr (std::is_same_v<T, float>) {
    *to = value;
  } else {
    *to = to_bfloat16(value);
  }
}

}  // namespace

template <class T>
void row_squares(ThreadPool& pool, float* squares, const T* weight, int64_t out, int64_t in) {
  for_chunks(pool, out, rows_per_chunk(in), [&](int64_t begin, int64_t count, int) {
    for (int64_t o = begin; o < begin + count; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < in; ++i) sum += square(to_float(weight[o * in + i]));
      squares[o] = static_cast<float>(sum);
    }
  });
}

template <class T>
void row_squares_prepared(ThreadPool& pool, float* squares, const T* prepared, int64_t out,
                          int64_t in) {
  for_chunks(pool, out, kPanelColumns, [&](int64_t begin, int64_t count, int) {
    const int64_t width = panel_width(out, begin);
    const int64_t step = dtype_of<T> == DType::kBF16 ? 2 : 1;  // inputs that lie side by side
    const T* panel = prepared + prepared_element_offset(dtype_of<T>, out, in, begin, 0);
    double sums[kPanelColumns] = {};
    for (int64_t i = 0; i < in; ++i) {
      const T* row = panel + (i / step * width) * step + i % step;
      for (int64_t c = 0; c < width; ++c) sums[c] += square(to_float(row[c * step]));
    }
    for (int64_t c = 0; c < count; ++c) squares[begin + c] = static_cast<float>(sums[c]);
  });
}

template <class T>
void dora_scales(ThreadPool& pool, float* scale, float* norm, const float* squares,
                 const float* product, const float* gram, const T* b, const T* magnitude,
                 float scaling, int64_t out, int64_t rank) {
  const double s = scaling;
  for_chunks(pool, out, kColumnBlock, [&](int64_t begin, int64_t count, int) {
    for (int64_t o = begin; o < begin + count; ++o) {
      double cross = 0;
      double own = 0;
      for (int64_t r = 0; r < rank; ++r) {
        double sum = 0;
        for (int64_t q = 0; q < rank; ++q) {
          sum += static_cast<double>(gram[r * rank + q]) *
                 static_cast<double>(to_float(b[o * rank + q]));
        }
        const double factor = to_float(b[o * rank + r]);
        own += factor * sum;
        cross += factor * static_cast<double>(product[r * out + o]);
      }
      const double square_norm = static_cast<double>(squares[o]) + s * (2.0 * cross + s * own);
      norm[o] = static_cast<float>(std::sqrt(std::max(square_norm, 0.0)));
      scale[o] = to_float(magnitude[o]) / norm[o];
    }
  });
}

template <class T>
void scale_outputs(ThreadPool& pool, T* y, const T* x, const float* scale, int64_t rows,
                   int64_t out) {
  for_chunks(pool, rows, rows_per_chunk(out), [&](int64_t begin, int64_t count, int) {
    for (int64_t n = begin; n < begin + count; ++n) {
      for (int64_t o = 0; o < out; ++o) store(y + n * out + o, to_float(x[n * out + o]) * scale[o]);
    }
  });
}

template <class T>
void dora_magnitude_backward(ThreadPool& pool, float* dmagnitude, const T* dy, const T* z,
                             const float* norm, int64_t rows, int64_t out) {
  for_chunks(pool, out, kColumnBlock, [&](int64_t first, int64_t count, int) {
    float sums[kColumnBlock] = {};
    for (int64_t n = 0; n < rows; ++n) {
      const int64_t at = n * out + first;
      for (int64_t c = 0; c < count; ++c) {
        sums[c] = std::fma(to_float(dy[at + c]), to_float(z[at + c]), sums[c]);
      }
    }
    for (int64_t c = 0; c < count; ++c) dmagnitude[first + c] += sums[c] / norm[first + c];
  });
}

#define ATHANOR_INSTANTIATE_DORA(T)                                                                \
  template void row_squares(ThreadPool&, float*, const T*, int64_t, int64_t);                      \
  template void row_squares_prepared(ThreadPool&, float*, const T*, int64_t, int64_t);             \
  template void dora_scales(ThreadPool&, float*, float*, const float*, const float*, const float*, \
                            const T*, const T*, float, int64_t, int64_t);                          \
  template void scale_outputs(ThreadPool&, T*, const T*, const float*, int64_t, int64_t);          \
  template void dora_magnitude_backward(ThreadPool&, float*, const T*, const T*, const float*,     \
                                        int64_t, int64_t);
ATHANOR_INSTANTIATE_DORA(float)
ATHANOR_INSTANTIATE_DORA(bfloat16)

}  // namespace athanor::cpu

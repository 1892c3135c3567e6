// What operation tests share: a CPU context with a given number of threads, owned tensors, random
// fills that depend on a seed only, and the tolerances with their reasons.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "core/buffer.h"
#include "core/philox.h"
#include "core/stream.h"
#include "core/thread_pool.h"

namespace athanor::testing {

inline constexpr int64_t kScratchBytes = int64_t{4} << 20;

struct CpuContext {
  explicit CpuContext(int threads = 2)
      : allocator(Tier::kHost), pool(threads, allocator, kScratchBytes), stream(pool) {}
  HostAllocator allocator;
  ThreadPool pool;
  ImmediateStream stream;
};

// A tensor that owns its bytes.
class Owned {
 public:
  Owned(CpuContext& context, DType dtype, Shape shape)
      : buffer_(context.allocator, shape.numel() * dtype_size(dtype)),
        tensor_(buffer_.data(), dtype, shape) {}
  operator Tensor() const { return tensor_; }       // NOLINT
  operator ConstTensor() const { return tensor_; }  // NOLINT
  const Tensor& tensor() const { return tensor_; }

  // Uniform in [-amplitude, amplitude), rounded to the dtype.
  Owned& fill_random(uint64_t seed, float amplitude = 1.0f) {
    const PhiloxKey key{seed, 77};
    for (int64_t i = 0; i < tensor_.numel(); ++i) {
      set(i, (2.0f * key.uniform(static_cast<uint64_t>(i)) - 1.0f) * amplitude);
    }
    return *this;
  }
  void set(int64_t i, float value) {
    if (tensor_.dtype() == DType::kF32) {
      tensor_.data<float>()[i] = value;
    } else {
      tensor_.data<bfloat16>()[i] = to_bfloat16(value);
    }
  }
  float get(int64_t i) const {
    return tensor_.dtype() == DType::kF32 ? tensor_.data<float>()[i]
                                          : to_float(tensor_.data<bfloat16>()[i]);
  }
  // Element values in float64, as a reference takes its inputs.
  std::vector<double> values() const {
    std::vector<double> result(static_cast<size_t>(tensor_.numel()));
    for (int64_t i = 0; i < tensor_.numel(); ++i) result[static_cast<size_t>(i)] = get(i);
    return result;
  }
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> result(static_cast<size_t>(tensor_.bytes()));
    if (!result.empty()) std::memcpy(result.data(), tensor_.raw(), result.size());
    return result;
  }

 private:
  Buffer buffer_;
  Tensor tensor_;
};

// Largest allowed |got - want| relative to max(1, |want|max) of the tensor.
// f32: a few hundred roundings of 2^-24; bf16: outputs are rounded once to 8 bits, 2^-9 relative,
// with room for inputs of later stages that were rounded on the way.
inline double tolerance(DType dtype) { return dtype == DType::kF32 ? 2e-5 : 1.6e-2; }

inline void expect_close(const Owned& got, const std::vector<double>& want, double tolerance,
                         const char* what) {
  ASSERT_EQ(static_cast<size_t>(got.tensor().numel()), want.size());
  double largest = 1.0;
  for (double value : want) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < want.size(); ++i) {
    const double value = got.get(static_cast<int64_t>(i));
    ASSERT_TRUE(std::abs(value - want[i]) <= tolerance * largest)
        << what << "[" << i << "]: got " << value << ", expected " << want[i];
  }
}

}  // namespace athanor::testing

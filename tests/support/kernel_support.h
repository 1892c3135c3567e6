// What operation tests share: the device under test, owned tensors, random fills that depend on a
// seed only, and the tolerances with their reasons.
//
// With ATHANOR_TEST_DEVICE=cuda, in builds that have it, the same tests run on a GPU: an Owned then
// has its bytes on both sides and moves them when the other side asks.
#pragma once

#include <athanor_backends.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "core/philox.h"
#include "core/stream.h"
#include "core/thread_pool.h"
#include "tests/support/test_device.h"

namespace athanor::testing {

inline constexpr int64_t kScratchBytes = int64_t{4} << 20;

// Null when tests run on the CPU.
inline std::unique_ptr<TestDevice> make_test_device() {
  if constexpr (kWithCuda) {
    const char* name = std::getenv("ATHANOR_TEST_DEVICE");
    if (name != nullptr && std::string_view(name) == "cuda") return make_cuda_test_device();
  }
  return nullptr;
}

// Bytes on the device under test.
class DeviceBytes {
 public:
  DeviceBytes(TestDevice& device, int64_t bytes) : device_(device), data_(device.allocate(bytes)) {}
  ~DeviceBytes() { device_.release(data_); }
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;
  void* data() const { return data_; }
  TestDevice& device() const { return device_; }

 private:
  TestDevice& device_;
  void* data_;
};

// The device under test: the CPU with a given number of threads, unless the environment says other.
struct CpuContext {
  explicit CpuContext(int threads = 2)
      : allocator(Tier::kHost),
        pool(threads, allocator, kScratchBytes),
        cpu_stream(pool),
        device(make_test_device()),
        stream(device != nullptr ? device->stream() : cpu_stream) {}

  // `values` where operations can read them; copies live as long as the context.
  const void* put(const void* values, int64_t bytes) {
    if (device == nullptr || values == nullptr) return values;
    copies.push_back(std::make_unique<DeviceBytes>(*device, bytes));
    device->upload(copies.back()->data(), values, bytes);
    return copies.back()->data();
  }
  template <class T>
  const T* put(const T& value) {
    return static_cast<const T*>(put(&value, sizeof(T)));
  }

  HostAllocator allocator;
  ThreadPool pool;
  ImmediateStream cpu_stream;
  std::unique_ptr<TestDevice> device;
  std::vector<std::unique_ptr<DeviceBytes>> copies;
  Stream& stream;
};

// For tests of what only the CPU does: prepared weights, refusing indices that a kernel cannot
// name.
#define ATHANOR_SKIP_UNLESS_CPU(context) \
  if ((context).device != nullptr) GTEST_SKIP() << "on the CPU only"

// A tensor that owns its bytes.
class Owned {
 public:
  Owned(CpuContext& context, DType dtype, Shape shape)
      : buffer_(context.allocator, shape.numel() * dtype_size(dtype)),
        host_(buffer_.data(), dtype, shape) {
    if (context.device == nullptr) return;
    remote_ = std::make_unique<DeviceBytes>(*context.device, host_.bytes());
    host_newer_ = true;
  }
  operator Tensor() const { return tensor(); }  // NOLINT
  operator ConstTensor() const {                // NOLINT
    to_device();
    return on_device();
  }
  // As an operation takes it, which may write it.
  Tensor tensor() const {
    to_device();
    device_newer_ = remote_ != nullptr;
    return on_device();
  }
  // For the host to read and write.
  const Tensor& host() {
    to_host();
    host_newer_ = remote_ != nullptr;
    return host_;
  }

  // Uniform in [-amplitude, amplitude), rounded to the dtype.
  Owned& fill_random(uint64_t seed, float amplitude = 1.0f) {
    const PhiloxKey key{seed, 77};
    for (int64_t i = 0; i < host_.numel(); ++i) {
      set(i, (2.0f * key.uniform(static_cast<uint64_t>(i)) - 1.0f) * amplitude);
    }
    return *this;
  }
  void set(int64_t i, float value) {
    host();
    if (host_.dtype() == DType::kF32) {
      host_.data<float>()[i] = value;
    } else {
      host_.data<bfloat16>()[i] = to_bfloat16(value);
    }
  }
  float get(int64_t i) const {
    to_host();
    return host_.dtype() == DType::kF32 ? host_.data<float>()[i]
                                        : to_float(host_.data<bfloat16>()[i]);
  }
  int64_t numel() const { return host_.numel(); }
  // Element values in float64, as a reference takes its inputs.
  std::vector<double> values() const {
    std::vector<double> result(static_cast<size_t>(numel()));
    for (int64_t i = 0; i < numel(); ++i) result[static_cast<size_t>(i)] = get(i);
    return result;
  }
  std::vector<std::byte> bytes() const {
    to_host();
    std::vector<std::byte> result(static_cast<size_t>(host_.bytes()));
    if (!result.empty()) std::memcpy(result.data(), host_.raw(), result.size());
    return result;
  }

 private:
  Tensor on_device() const {
    return remote_ == nullptr ? host_ : Tensor(remote_->data(), host_.dtype(), host_.shape());
  }
  void to_device() const {
    if (!host_newer_) return;
    remote_->device().upload(remote_->data(), host_.raw(), host_.bytes());
    host_newer_ = false;
  }
  void to_host() const {
    if (!device_newer_) return;
    remote_->device().download(host_.raw(), remote_->data(), host_.bytes());
    device_newer_ = false;
  }

  Buffer buffer_;
  Tensor host_;
  std::unique_ptr<DeviceBytes> remote_;  // null on the CPU
  mutable bool host_newer_ = false;
  mutable bool device_newer_ = false;
};

// Largest allowed |got - want| relative to max(1, |want|max) of the tensor.
// f32: a few hundred roundings of 2^-24; bf16: outputs are rounded once to 8 bits, 2^-9 relative,
// with room for inputs of later stages that were rounded on the way.
inline double tolerance(DType dtype) { return dtype == DType::kF32 ? 2e-5 : 1.6e-2; }

inline void expect_close(const Owned& got, const std::vector<double>& want, double tolerance,
                         const char* what) {
  ASSERT_EQ(static_cast<size_t>(got.numel()), want.size());
  double largest = 1.0;
  for (double value : want) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < want.size(); ++i) {
    const double value = got.get(static_cast<int64_t>(i));
    ASSERT_TRUE(std::abs(value - want[i]) <= tolerance * largest)
        << what << "[" << i << "]: got " << value << ", expected " << want[i];
  }
}

}  // namespace athanor::testing

// A device other than the CPU that operation tests run on, where the build has one.
#pragma once

#include <cstdint>
#include <memory>

#include "core/stream.h"

namespace athanor::testing {

class TestDevice {
 public:
  virtual ~TestDevice() = default;
  virtual Stream& stream() = 0;
  // Exactly `bytes`, contents undefined, so that an access outside or too early shows.
  virtual void* allocate(int64_t bytes) = 0;
  virtual void release(void* data) noexcept = 0;
  // In the stream's order, and done on return.
  virtual void upload(void* device, const void* host, int64_t bytes) = 0;
  virtual void download(void* host, const void* device, int64_t bytes) = 0;
};

// In cuda_test_device.cpp, which tests link in builds with CUDA.
std::unique_ptr<TestDevice> make_cuda_test_device();

}  // namespace athanor::testing

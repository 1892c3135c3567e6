#include <cuda_runtime_api.h>

#include <cstring>
#include <stdexcept>
#include <string>

#include "core/cuda_device.h"
#include "tests/support/test_device.h"

namespace athanor::testing {
namespace {

void check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

class CudaTestDevice final : public TestDevice {
 public:
  CudaTestDevice() : device_(0), stream_(device_.make_stream()) {
    check(cudaStreamCreateWithFlags(&copies_, cudaStreamNonBlocking));
  }
  ~CudaTestDevice() override { cudaStreamDestroy(copies_); }

  Stream& stream() override { return *stream_; }

  void* allocate(int64_t bytes) override {
    void* data = nullptr;
    check(cudaMalloc(&data, static_cast<size_t>(bytes)));
    return data;
  }
  void release(void* data) noexcept override { cudaFree(data); }

  void upload(void* device, const void* host, int64_t bytes) override {
    stream_->synchronize();
    copy(bytes, [&](void* pinned, size_t size) {
      std::memcpy(pinned, host, size);
      check(cudaMemcpyAsync(device, pinned, size, cudaMemcpyHostToDevice, copies_));
      check(cudaStreamSynchronize(copies_));
    });
  }
  void download(void* host, const void* device, int64_t bytes) override {
    stream_->synchronize();
    copy(bytes, [&](void* pinned, size_t size) {
      check(cudaMemcpyAsync(pinned, device, size, cudaMemcpyDeviceToHost, copies_));
      check(cudaStreamSynchronize(copies_));
      std::memcpy(host, pinned, size);
    });
  }

 private:
  template <class Body>
  static void copy(int64_t bytes, const Body& body) {
    if (bytes == 0) return;
    void* pinned = nullptr;
    check(cudaMallocHost(&pinned, static_cast<size_t>(bytes)));
    body(pinned, static_cast<size_t>(bytes));
    check(cudaFreeHost(pinned));
  }

  CudaDevice device_;
  std::unique_ptr<Stream> stream_;
  cudaStream_t copies_ = nullptr;
};

}  // namespace

std::unique_ptr<TestDevice> make_cuda_test_device() { return std::make_unique<CudaTestDevice>(); }

}  // namespace athanor::testing

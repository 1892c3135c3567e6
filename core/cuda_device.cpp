#include "core/cuda_device.h"

#include <cuda_runtime_api.h>

#include <array>
#include <atomic>
#include <exception>
#include <mutex>
#include <string>
#include <utility>

#include "core/error.h"

namespace athanor {
namespace {

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  const bool memory = error == cudaErrorMemoryAllocation;
  throw Error(memory ? ErrorKind::kDoesNotFit : ErrorKind::kInternal,
              std::string(what) + ": " + cudaGetErrorString(error));
}

class CudaAllocator final : public Allocator {
 public:
  CudaAllocator() : Allocator(Tier::kDevice) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
  }
  ~CudaAllocator() override { cudaStreamDestroy(stream_); }

 protected:
  void* map(int64_t bytes) override {
    void* data = nullptr;
    const std::string what = "cudaMalloc of " + std::to_string(bytes) + " bytes";
    check(cudaMalloc(&data, static_cast<size_t>(bytes)), what.c_str());
    check(cudaMemsetAsync(data, 0, static_cast<size_t>(bytes), stream_), "cudaMemsetAsync");
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    return data;
  }
  void unmap(void* data, int64_t) noexcept override { cudaFree(data); }

 private:
  cudaStream_t stream_ = nullptr;
};

class PinnedAllocator final : public Allocator {
 public:
  PinnedAllocator() : Allocator(Tier::kHost) {}

 protected:
  void* map(int64_t bytes) override {
    void* data = nullptr;
    const std::string what = "cudaMallocHost of " + std::to_string(bytes) + " bytes";
    check(cudaMallocHost(&data, static_cast<size_t>(bytes)), what.c_str());
    std::memset(data, 0, static_cast<size_t>(bytes));
    return data;
  }
  void unmap(void* data, int64_t) noexcept override { cudaFreeHost(data); }
};

class CudaStream final : public Stream {
 public:
  CudaStream() : context_{CpuPool(), &queue_} {
    check(cudaStreamCreateWithFlags(&queue_.stream, cudaStreamNonBlocking), "cudaStreamCreate");
    for (cudaEvent_t& event : events_) {
      check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
    }
    void* slot = nullptr;
    check(cudaMallocHost(&slot, sizeof(double)), "cudaMallocHost");
    scalar_ = static_cast<double*>(slot);
  }
  ~CudaStream() override {
    cudaStreamSynchronize(queue_.stream);
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
    cudaFreeHost(scalar_);
    cudaStreamDestroy(queue_.stream);
  }

  Event record() override {
    const uint64_t ticket = tickets_.fetch_add(1) + 1;
    check(cudaEventRecord(event(ticket), queue_.stream), "cudaEventRecord");
    return {this, ticket};
  }

  void wait(const Event& event) override {
    if (event.stream == nullptr || event.stream == this) return;
    if (auto* other = dynamic_cast<CudaStream*>(event.stream)) {
      check(cudaStreamWaitEvent(queue_.stream, other->event(event.ticket), cudaEventWaitDefault),
            "cudaStreamWaitEvent");
      return;
    }
    auto wait = std::make_unique<HostWait>(HostWait{this, event});
    check(cudaLaunchHostFunc(queue_.stream, wait_for_host, wait.get()), "cudaLaunchHostFunc");
    wait.release();  // the function owns it
  }

  void synchronize() override {
    check(cudaStreamSynchronize(queue_.stream), "cudaStreamSynchronize");
    rethrow();
  }

  void wait_for(uint64_t ticket) override {
    check(cudaEventSynchronize(event(ticket)), "cudaEventSynchronize");
    rethrow();
  }

  double read_scalar(const double* value, double) override {
    check(cudaMemcpyAsync(scalar_, value, sizeof(double), cudaMemcpyDeviceToHost, queue_.stream),
          "cudaMemcpyAsync");
    synchronize();
    return *scalar_;
  }

 protected:
  void enqueue(const Cost&, Call call, void* closure, size_t) override {
    rethrow();
    call(closure, context_);
  }

 private:
  struct HostWait {
    CudaStream* self;
    Event event;
  };

  // On a thread of the driver, in stream order: waits for a stream of the host.
  static void wait_for_host(void* argument) {
    const std::unique_ptr<HostWait> wait(static_cast<HostWait*>(argument));
    try {
      wait->event.stream->wait_for(wait->event.ticket);
    } catch (...) {
      std::lock_guard lock(wait->self->mutex_);
      if (!wait->self->error_) wait->self->error_ = std::current_exception();
    }
  }

  void rethrow() {
    std::lock_guard lock(mutex_);
    if (error_) std::rethrow_exception(error_);
  }

  // An event that was recorded again since then stands for a later point of the same stream: who
  // waits for it waits longer, never too short.
  static constexpr size_t kEvents = 64;
  cudaEvent_t event(uint64_t ticket) const { return events_[ticket % kEvents]; }

  CudaQueue queue_;
  ExecContext context_;
  std::array<cudaEvent_t, kEvents> events_{};
  std::atomic<uint64_t> tickets_{0};
  double* scalar_ = nullptr;  // pinned
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace

int cuda_device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

CudaDevice::CudaDevice(int index) : index_(index) {
  const int count = cuda_device_count();
  if (index < 0 || index >= count) {
    throw Error(ErrorKind::kConfig, "device cuda: GPU " + std::to_string(index) + " of " +
                                        std::to_string(count) + " was asked for");
  }
  check(cudaSetDevice(index_), "cudaSetDevice");
  int integrated = 0;
  check(cudaDeviceGetAttribute(&integrated, cudaDevAttrIntegrated, index_), "device attribute");
  shares_host_memory_ = integrated != 0;
}

std::unique_ptr<Allocator> CudaDevice::make_allocator() const {
  return std::make_unique<CudaAllocator>();
}
std::unique_ptr<Allocator> CudaDevice::make_pinned_allocator() const {
  return std::make_unique<PinnedAllocator>();
}
std::unique_ptr<Stream> CudaDevice::make_stream() const { return std::make_unique<CudaStream>(); }

int64_t CudaDevice::free_bytes() const {
  size_t free = 0;
  size_t total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<int64_t>(free);
}

}  // namespace athanor

// A CUDA GPU: its memory, pinned memory of the host, and streams that run operations on it. Built
// from cuda_device.cpp where CUDA is, from no_cuda_device.cpp elsewhere, which refuses.
#pragma once

#include <memory>

#include "core/buffer.h"
#include "core/stream.h"

struct CUstream_st;  // what a cudaStream_t points to

namespace athanor {

// What kernels are launched on.
struct CudaQueue {
  CUstream_st* stream = nullptr;
};

// How many GPUs this process can use; 0 without CUDA.
int cuda_device_count();

class CudaDevice {
 public:
  // Throws when there is no such GPU.
  explicit CudaDevice(int index);

  // Memory is zero-filled, as the host's is. Allocators outlive what they have handed out.
  std::unique_ptr<Allocator> make_allocator() const;
  std::unique_ptr<Allocator> make_pinned_allocator() const;
  // Operations submitted to it are enqueued at once and run later, in order; other streams of the
  // device wait for it by events, without the host.
  std::unique_ptr<Stream> make_stream() const;

  // The GPU uses the host's memory: copies between the two move nothing.
  bool shares_host_memory() const { return shares_host_memory_; }
  int64_t free_bytes() const;

 private:
  int index_;
  bool shares_host_memory_ = false;
};

}  // namespace athanor

// The functions of the CUDA runtime that Athanor uses, against the toolkit's own declarations. What
// is missing here does not link, so that a new use is a decision.
#include <cuda_runtime_api.h>

#include <cstring>
#include <string>

#include "tests/fake_cuda/runtime/device.h"
#include "tests/fake_cuda/runtime/internal.h"
#include "tests/fake_cuda/runtime/memory.h"
#include "tests/fake_cuda/runtime/sanitizer.h"
#include "tests/fake_cuda/runtime/streams.h"

namespace {

using namespace fake_cuda;  // NOLINT: this file is its API

thread_local cudaError_t g_last_error = cudaSuccess;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) g_last_error = error;
  return error;
}

struct Call {
  Call() : lock(api_mutex()) { ensure_configured(); }
  Lock lock;
};

cudaError_t allocate_into(void** pointer, size_t bytes, MemoryKind kind) {
  Call call;
  *pointer = allocate(bytes, kind);
  return result(*pointer != nullptr ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t release_now(void* pointer, MemoryKind kind) {
  Call call;
  if (pointer == nullptr) return cudaSuccess;
  synchronize_all(call.lock);
  release(pointer, kind);
  return cudaSuccess;
}

// A kernel's operands need their order from the caller; a copy's are known here.
void copy_now(void* to, const void* from, size_t bytes) {
  sanitizer::read(from, bytes);
  sanitizer::written(to, bytes);
  sanitizer::Quiet quiet;
  std::memcpy(to, from, bytes);
}

}  // namespace

namespace fake_cuda {

void enqueue_kernel(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                    std::function<void()> body, const Location& at) {
  Call call;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  const char* name = std::strrchr(at.file_name(), '/');
  std::string where =
      std::string(name != nullptr ? name + 1 : at.file_name()) + ":" + std::to_string(at.line());
  if (threads == 0 || threads > kMaxThreads || blocks == 0 || blocks > 0x7fffffffu ||
      grid.y > 65535 || grid.z > 65535 || shared_bytes > kMaxSharedBytes) {
    fail("launch at " + where + ": invalid configuration of " + std::to_string(blocks) +
         " blocks of " + std::to_string(threads) + " threads with " + std::to_string(shared_bytes) +
         " bytes of shared memory");
  }
  Launch launch{grid, block, shared_bytes, std::move(body), std::move(where)};
  enqueue(call.lock, checked(stream),
          [launch = std::move(launch)](CUstream_st& on) { on.runner.run(launch); });
}

void check_argument_pointer(const void* pointer, int index, const Location& at) {
  Call call;
  check_kernel_pointer(pointer, "argument " + std::to_string(index) +
                                    " of the kernel launched in line " + std::to_string(at.line()));
}

void check_argument_struct(const void* data, size_t bytes, int index, const Location& at) {
  Call call;
  check_kernel_struct(data, bytes,
                      "argument " + std::to_string(index) + " of the kernel launched in line " +
                          std::to_string(at.line()));
}

}  // namespace fake_cuda

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  return result(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) return result(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrIntegrated:
    case cudaDevAttrPageableMemoryAccess:
      *value = settings().unified ? 1 : 0;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = 4;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(kMaxSharedBytes);
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 12;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 1;
      return cudaSuccess;
    default:
      fail("cudaDeviceGetAttribute: attribute " + std::to_string(attribute) + " is not imitated");
  }
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  Call call;
  *free_bytes = free_device_bytes();
  *total_bytes = total_device_bytes();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return allocate_into(pointer, bytes, MemoryKind::kDevice);
}
cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  return allocate_into(pointer, bytes, MemoryKind::kPinned);
}
cudaError_t cudaFree(void* pointer) { return release_now(pointer, MemoryKind::kDevice); }
cudaError_t cudaFreeHost(void* pointer) { return release_now(pointer, MemoryKind::kPinned); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  Call call;
  if (flags != cudaStreamNonBlocking) fail("a stream that waits for the default stream");
  *stream = create_stream();
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  Call call;
  destroy_stream(call.lock, stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  Call call;
  synchronize(call.lock, checked(stream));
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  Call call;
  synchronize_all(call.lock);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if (flags != cudaEventDisableTiming) fail("an event with timing costs what nobody reads");
  *event = new CUevent_st;
  return cudaSuccess;
}

// As on the device, an event may go while streams still wait for it: those are run first.
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  Call call;
  synchronize_all(call.lock);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  Call call;
  const uint64_t version = ++event->recorded;
  enqueue(call.lock, checked(stream), [event, version](CUstream_st&) {
    event->done = version;
    sanitizer::release(event->tag);
  });
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  Call call;
  if (flags != cudaEventWaitDefault) fail("cudaStreamWaitEvent with flags");
  const uint64_t version = event->recorded;
  enqueue(
      call.lock, checked(stream), [event](CUstream_st&) { sanitizer::acquire(event->tag); },
      [event, version] { return event->done >= version; });
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  Call call;
  ++mutable_counts().host_waits;
  const uint64_t version = event->recorded;
  run_until(
      call.lock, [event, version] { return event->done >= version; }, nullptr);
  sanitizer::acquire(event->tag);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  Call call;
  if (kind != cudaMemcpyHostToDevice && kind != cudaMemcpyDeviceToHost &&
      kind != cudaMemcpyDeviceToDevice) {
    fail("cudaMemcpyAsync: name the direction");
  }
  if (bytes == 0) return cudaSuccess;
  const bool from_host = kind == cudaMemcpyHostToDevice;
  const bool to_host = kind == cudaMemcpyDeviceToHost;
  const auto check = [=] {
    check_range(to, bytes, to_host ? MemoryKind::kPinned : MemoryKind::kDevice, "copy to");
    check_range(from, bytes, from_host ? MemoryKind::kPinned : MemoryKind::kDevice, "copy from");
  };
  check();
  if (from_host) protect_pinned(from, bytes, true);
  if (to_host) protect_pinned(to, bytes, false);
  enqueue(call.lock, checked(stream), [=](CUstream_st&) {
    check();
    if (from_host) unprotect_pinned(from, bytes);
    if (to_host) unprotect_pinned(to, bytes);
    copy_now(to, from, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  Call call;
  if (kind != cudaMemcpyDeviceToDevice) fail("cudaMemcpy2DAsync is imitated on the device only");
  if (width > to_pitch || width > from_pitch) fail("cudaMemcpy2DAsync: rows overlap");
  enqueue(call.lock, checked(stream), [=](CUstream_st&) {
    for (size_t row = 0; row < height; ++row) {
      auto* const row_to = static_cast<char*>(to) + row * to_pitch;
      const auto* const row_from = static_cast<const char*>(from) + row * from_pitch;
      check_range(row_to, width, MemoryKind::kDevice, "copy to");
      check_range(row_from, width, MemoryKind::kDevice, "copy from");
      copy_now(row_to, row_from, width);
    }
  });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  Call call;
  if (bytes == 0) return cudaSuccess;
  check_range(to, bytes, MemoryKind::kDevice, "memset");
  enqueue(call.lock, checked(stream), [=](CUstream_st&) {
    check_range(to, bytes, MemoryKind::kDevice, "memset");
    sanitizer::written(to, bytes);
    sanitizer::Quiet quiet;
    std::memset(to, value, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  Call call;
  enqueue(
      call.lock, checked(stream), [=](CUstream_st&) { function(argument); }, {}, true);
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return std::exchange(g_last_error, cudaSuccess); }
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "an error of the fake";
}

}  // extern "C"

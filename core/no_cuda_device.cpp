#include "core/cuda_device.h"
#include "core/error.h"

namespace athanor {

int cuda_device_count() { return 0; }

CudaDevice::CudaDevice(int index) : index_(index) {
  throw Error(ErrorKind::kConfig,
              "device cuda: this program is built for CPUs; build it with -DATHANOR_CUDA=ON");
}

std::unique_ptr<Allocator> CudaDevice::make_allocator() const { return nullptr; }
std::unique_ptr<Allocator> CudaDevice::make_pinned_allocator() const { return nullptr; }
std::unique_ptr<Stream> CudaDevice::make_stream() const { return nullptr; }
int64_t CudaDevice::free_bytes() const { return index_ < 0 ? index_ : 0; }

}  // namespace athanor

// What kernels of the fake are compiled with in place of nvcc's built-ins: indices, barriers,
// shuffles, votes, atomics, launches. Everything that a kernel shares with other threads goes
// through a function that knows the line it was called from.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <type_traits>

#undef __launch_bounds__
#define __launch_bounds__(...)
// Shared memory is dynamic and goes through dyn_smem: a plain variable would be zero-filled, one
// for all blocks, and invisible to the race checker.
#undef __shared__

inline constinit thread_local uint3 threadIdx{};
inline constinit thread_local uint3 blockIdx{};
inline constinit thread_local dim3 blockDim{};
inline constinit thread_local dim3 gridDim{};

namespace fake_cuda {

using Location = std::source_location;

void sync_threads(const Location& at);

// Every lane of `mask` arrives with its data; the last one runs combine for all. Lanes that arrive
// from different lines, operations or masks have diverged.
enum class WarpOperation { kSync, kShuffle, kVote, kMma, kLoadMatrix };
using Combine = void (*)(void* const* lanes, unsigned mask);
void warp_collective(unsigned mask, WarpOperation operation, void* data, Combine combine,
                     const Location& at);

struct Shuffle {
  unsigned char value[16];
  unsigned char result[16];
  int source;
};
void combine_shuffle(void* const* lanes, unsigned mask);
struct Vote {
  bool predicate;
  unsigned ballot;
};
void combine_vote(void* const* lanes, unsigned mask);

int lane_of_thread();
void* shared_memory();

template <class T>
T shuffle(unsigned mask, T value, int source, const Location& at) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 16);
  Shuffle data;
  std::memcpy(data.value, &value, sizeof(T));
  data.source = source;
  warp_collective(mask, WarpOperation::kShuffle, &data, combine_shuffle, at);
  std::memcpy(&value, data.result, sizeof(T));
  return value;
}

// Copies arguments and body at the launch, as CUDA does. `where` is kept: a string literal or one
// of the caller's that lives on.
void enqueue_kernel(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                    std::function<void()> body, const Location& at);
void check_argument_pointer(const void* pointer, int index, const Location& at);
void check_argument_struct(const void* data, size_t bytes, int index, const Location& at);

template <class T>
void check_argument(const T& argument, int index, const Location& at) {
  // Not is_trivially_copyable, which GCC 12 denies some closures.
  static_assert(std::is_trivially_copy_constructible_v<T> && std::is_trivially_destructible_v<T>,
                "kernel arguments are bytes");
  if constexpr (std::is_pointer_v<T>) {
    check_argument_pointer(argument, index, at);
  } else if constexpr (std::is_class_v<T>) {
    T copy = argument;
    __builtin_clear_padding(&copy);  // it may hold addresses that nobody passes
    check_argument_struct(&copy, sizeof(T), index, at);
  }
}

// Ends the process: the device found what must not be.
[[noreturn]] void trap(const Location& at);
void check_alignment(const void* pointer, size_t bytes, const Location& at);

}  // namespace fake_cuda

inline void __syncthreads(const fake_cuda::Location& at = fake_cuda::Location::current()) {
  fake_cuda::sync_threads(at);
}

inline void __syncwarp(unsigned mask = 0xffffffffu,
                       const fake_cuda::Location& at = fake_cuda::Location::current()) {
  fake_cuda::warp_collective(mask, fake_cuda::WarpOperation::kSync, nullptr, nullptr, at);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source,
              const fake_cuda::Location& at = fake_cuda::Location::current()) {
  return fake_cuda::shuffle(mask, value, source & 31, at);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits,
                  const fake_cuda::Location& at = fake_cuda::Location::current()) {
  return fake_cuda::shuffle(mask, value, fake_cuda::lane_of_thread() ^ bits, at);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta,
                   const fake_cuda::Location& at = fake_cuda::Location::current()) {
  const int lane = fake_cuda::lane_of_thread();
  const int source = lane + static_cast<int>(delta);
  return fake_cuda::shuffle(mask, value, source < 32 ? source : lane, at);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta,
                 const fake_cuda::Location& at = fake_cuda::Location::current()) {
  const int lane = fake_cuda::lane_of_thread();
  const int source = lane - static_cast<int>(delta);
  return fake_cuda::shuffle(mask, value, source >= 0 ? source : lane, at);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              const fake_cuda::Location& at = fake_cuda::Location::current()) {
  fake_cuda::Vote vote{predicate != 0, 0};
  fake_cuda::warp_collective(mask, fake_cuda::WarpOperation::kVote, &vote, fake_cuda::combine_vote,
                             at);
  return vote.ballot;
}

inline int __any_sync(unsigned mask, int predicate,
                      const fake_cuda::Location& at = fake_cuda::Location::current()) {
  return __ballot_sync(mask, predicate, at) != 0;
}

inline int __all_sync(unsigned mask, int predicate,
                      const fake_cuda::Location& at = fake_cuda::Location::current()) {
  return __ballot_sync(mask, predicate, at) == mask;
}

// Integers only: sums of floats by atomics depend on timing.
template <class T>
T atomicAdd(T* pointer, T value) {
  static_assert(std::is_integral_v<T>, "no float atomics: their order is nobody's");
  return __atomic_fetch_add(pointer, value, __ATOMIC_RELAXED);
}

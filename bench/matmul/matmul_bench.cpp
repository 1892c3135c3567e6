// Rates of the matrix products that a training step is made of.
//   bench_matmul [threads [isa [most]]]     isa: generic, avx2, avx512, avx512_bf16
//     most: leaves out products of more than so many GFLOP
// Each line is the best of 15 rounds (of CPU time for one thread): GFLOP/s, and GB/s over the
// operands read and written.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "core/buffer.h"
#include "core/stream.h"
#include "kernels/cpu/isa.h"
#include "kernels/matmul/matmul.h"

namespace athanor {
namespace {

enum class Kind { kForward, kForwardPrepared, kBackwardInput, kBackwardInputPrepared, kWeight };

struct Case {
  Kind kind;
  int64_t rows, out, in;
};

const Case kCases[] = {
    {Kind::kForward, 2048, 2048, 2048},
    {Kind::kForwardPrepared, 2048, 2048, 2048},
    {Kind::kBackwardInput, 2048, 2048, 2048},
    {Kind::kBackwardInputPrepared, 2048, 2048, 2048},
    {Kind::kWeight, 2048, 2048, 2048},
    {Kind::kForward, 512, 1536, 576},
    {Kind::kForwardPrepared, 512, 1536, 576},
    {Kind::kForwardPrepared, 512, 576, 1536},
    {Kind::kForwardPrepared, 512, 192, 576},
    {Kind::kBackwardInput, 512, 1536, 576},
    {Kind::kBackwardInputPrepared, 512, 1536, 576},
    {Kind::kBackwardInputPrepared, 512, 576, 1536},
    {Kind::kWeight, 512, 1536, 576},
    {Kind::kForward, 512, 16, 576},         // LoRA: x * A^T
    {Kind::kForward, 512, 1536, 16},        // (x * A^T) * B^T
    {Kind::kBackwardInput, 512, 1536, 16},  // dy * B
    {Kind::kBackwardInput, 512, 16, 576},   // (dy * B) * A
    {Kind::kWeight, 512, 16, 576},          // dA
    {Kind::kWeight, 512, 1536, 16},         // dB
    {Kind::kForward, 2048, 16, 576},
    {Kind::kForward, 2048, 576, 16},
    {Kind::kBackwardInput, 2048, 576, 16},
    {Kind::kBackwardInput, 2048, 16, 576},
    {Kind::kWeight, 2048, 16, 576},
    {Kind::kWeight, 2048, 576, 16},
    {Kind::kForwardPrepared, 1, 1536, 576},  // decode
    {Kind::kForwardPrepared, 1, 8192, 8192},
    {Kind::kForwardPrepared, 8, 8192, 8192},
    {Kind::kForward, 1, 8192, 8192},
};

double flops_of(const Case& c) {
  return 2.0 * static_cast<double>(c.rows) * static_cast<double>(c.out) * static_cast<double>(c.in);
}

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::kForward:
      return "forward";
    case Kind::kForwardPrepared:
      return "forward, prepared";
    case Kind::kBackwardInput:
      return "backward input";
    case Kind::kBackwardInputPrepared:
      return "backward input, prepared";
    case Kind::kWeight:
      return "backward weight";
  }
  return "?";
}

void fill(const Tensor& tensor) {
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    const float value = static_cast<float>((i * 7919) % 1024 - 512) / 512.0f;
    if (tensor.dtype() == DType::kF32) {
      tensor.data<float>()[i] = value;
    } else {
      tensor.data<bfloat16>()[i] = to_bfloat16(value);
    }
  }
}

// Time of this process: the wall's, or for one thread the CPU's, which other load disturbs less.
double now(bool cpu_time) {
  using Clock = std::chrono::steady_clock;
  if (cpu_time) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

template <class Call>
double best_seconds(double flops, bool cpu_time, const Call& call) {
  const int repeats = static_cast<int>(std::max(1.0, 3e8 / flops));
  double best = 1e30;
  call();
  for (int round = 0; round < 15; ++round) {
    const double begin = now(cpu_time);
    for (int i = 0; i < repeats; ++i) call();
    best = std::min(best, (now(cpu_time) - begin) / repeats);
  }
  return best;
}

void measure(const Case& c, DType dtype, bool cpu_time, Allocator& allocator, Stream& stream) {
  Buffer x_bytes(allocator, c.rows * c.in * 4), y_bytes(allocator, c.rows * c.out * 4);
  Buffer w_bytes(allocator, c.out * c.in * 4);
  Buffer prepared_bytes(allocator, prepared_weight_bytes(dtype, c.out, c.in));
  const Tensor x = x_bytes.view(dtype, Shape{c.rows, c.in});
  const Tensor y = y_bytes.view(dtype, Shape{c.rows, c.out});
  const Tensor w = w_bytes.view(dtype, Shape{c.out, c.in});
  const Tensor dw = w_bytes.view(DType::kF32, Shape{c.out, c.in});
  const Tensor prepared = prepared_bytes.view(DType::kU8, Shape{prepared_bytes.bytes()});
  fill(x);
  fill(y);
  fill(w);
  prepare_weight(prepared, w, stream);
  const bool use_prepared =
      c.kind == Kind::kForwardPrepared || c.kind == Kind::kBackwardInputPrepared;
  const LinearWeight weight{use_prepared ? ConstTensor() : ConstTensor(w),
                            use_prepared ? ConstTensor(prepared) : ConstTensor(), dtype, c.out,
                            c.in};
  const double flops = flops_of(c);
  const double seconds = best_seconds(flops, cpu_time, [&] {
    if (c.kind == Kind::kWeight) {
      linear_backward_weight(dw, y, x, stream);
    } else if (c.kind == Kind::kBackwardInput || c.kind == Kind::kBackwardInputPrepared) {
      linear_backward_input(x, y, weight, false, stream);
    } else {
      linear_forward(y, x, weight, false, stream);
    }
  });
  const double bytes = static_cast<double>(x.bytes() + y.bytes() + w.bytes());
  std::printf("%-5s %-26s rows %5lld out %5lld in %5lld  %8.1f GFLOP/s  %7.1f GB/s\n",
              dtype_name(dtype), kind_name(c.kind), static_cast<long long>(c.rows),
              static_cast<long long>(c.out), static_cast<long long>(c.in), flops / seconds / 1e9,
              bytes / seconds / 1e9);
  std::fflush(stdout);
}

}  // namespace
}  // namespace athanor

int main(int argc, char** argv) {
  using namespace athanor;
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  if (argc > 2) {
    bool known = false;
    for (CpuIsa isa : {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16}) {
      if (std::strcmp(argv[2], cpu_isa_name(isa)) != 0) continue;
      known = true;
      limit_cpu_isa(isa);
    }
    if (!known || threads < 1) {
      std::fprintf(stderr, "usage: bench_matmul [threads [isa [most]]]\n");
      return 2;
    }
  }
  const double most = argc > 3 ? std::atof(argv[3]) : 1e9;
  std::printf("%d threads, %s\n", threads, cpu_isa_name(active_cpu_isa()));
  HostAllocator allocator(Tier::kHost);
  ThreadPool pool(threads, allocator, int64_t{4} << 20);
  ImmediateStream stream(pool);
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    for (const Case& c : kCases) {
      if (flops_of(c) <= most * 1e9) measure(c, dtype, threads == 1, allocator, stream);
    }
  }
}

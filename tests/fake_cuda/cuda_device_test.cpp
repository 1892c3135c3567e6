// Streams of a CUDA device among each other and with streams of the host, and that operations give
// the CPU's bits. Each test runs under every policy of the fake.
#include "core/cuda_device.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/swiglu/swiglu.h"
#include "tests/fake_cuda/runtime/control.h"
#include "tests/support/same_bits.h"

namespace athanor::testing {
namespace {

using fake_cuda::Policy;

class CudaStreams : public ::testing::TestWithParam<Policy> {
 protected:
  void SetUp() override {
    fake_cuda::Settings settings;
    settings.policy = GetParam();
    settings.seed = 11;
    fake_cuda::configure(settings);
  }
};

// x doubles on one stream, y = x + x on the other, which hands x back; more often than a stream has
// events.
TEST_P(CudaStreams, AreOrderedByEventsWithoutTheHost) {
  const CudaDevice device(0);
  const auto memory = device.make_allocator();
  const auto first = device.make_stream();
  const auto second = device.make_stream();
  const auto last = device.make_stream();
  const int64_t n = 300;
  const Buffer x_bytes(*memory, n * 4);
  const Buffer y_bytes(*memory, n * 4);
  const Buffer sum_bytes(*memory, 8);
  const Tensor x = x_bytes.view(DType::kF32, {n});
  const Tensor y = y_bytes.view(DType::kF32, {n});
  auto* const sum = reinterpret_cast<double*>(sum_bytes.data());

  fill(x, 1.0f, *first);
  const uint64_t waits = fake_cuda::counts().host_waits;
  for (int round = 0; round < 70; ++round) {
    scale(x, x, round % 2 == 0 ? 2.0f : 0.5f, *first);
    second->wait(first->record());
    add(y, x, x, *second);
    first->wait(second->record());
  }
  last->wait(second->record());
  add_sum(sum, y, *last);
  EXPECT_EQ(fake_cuda::counts().host_waits, waits);
  EXPECT_EQ(last->read_scalar(sum, 0), 2.0 * n);
}

TEST_P(CudaStreams, WaitForStreamsOfTheHostAndBack) {
  const CudaDevice device(0);
  const auto memory = device.make_allocator();
  HostAllocator host(Tier::kHost);
  ThreadPool pool(1, host, 64);
  const auto stream = device.make_stream();
  const Buffer bytes(*memory, 8);
  auto* const value = reinterpret_cast<double*>(bytes.data());
  {
    FifoStream fifo(pool);
    int order = 0;
    int* const seen = &order;
    fifo.submit(Cost{"first"}, [seen](ExecContext&) { *seen = 1; });
    stream->wait(fifo.record());
    fill_zero(bytes.view(DType::kF32, {2}), *stream);
    fifo.wait(stream->record());
    fifo.submit(Cost{"second"}, [seen](ExecContext&) { *seen = *seen == 1 ? 2 : -1; });
    fifo.synchronize();
    EXPECT_EQ(order, 2);
  }
  EXPECT_EQ(stream->read_scalar(value, 1), 0.0);
}

TEST_P(CudaStreams, ThrowTheErrorOfAHostStreamTheyWaitedFor) {
  const CudaDevice device(0);
  HostAllocator host(Tier::kHost);
  ThreadPool pool(1, host, 64);
  const auto stream = device.make_stream();
  FifoStream fifo(pool);
  fifo.submit(Cost{"lost"}, [](ExecContext&) { throw Error(ErrorKind::kLostPeer, "rank 1"); });
  stream->wait(fifo.record());
  EXPECT_THROW(stream->synchronize(), Error);
}

TEST_P(CudaStreams, RefuseWhatOnlyTheCpuCanDo) {
  const CudaDevice device(0);
  const auto stream = device.make_stream();
  const auto use_threads = [](ExecContext& context) {
    const ThreadPool& pool = context.pool;
    (void)pool;
  };
  EXPECT_THROW(stream->submit(Cost{"threads"}, use_threads), Error);
}

constexpr const char* kPolicyNames[] = {"Eager", "Lazy", "Ahead", "Random"};
INSTANTIATE_TEST_SUITE_P(, CudaStreams,
                         ::testing::Values(Policy::kEager, Policy::kLazy, Policy::kAhead,
                                           Policy::kRandom),
                         [](const auto& info) {
                           return kPolicyNames[static_cast<int>(info.param)];
                         });

TEST(CudaDevice, SaysWhatDoesNotFitAndWhichGpuIsMissing) {
  fake_cuda::Settings settings;
  settings.device_bytes = 1 << 20;
  settings.unified = true;
  fake_cuda::configure(settings);
  const CudaDevice device(0);
  EXPECT_TRUE(device.shares_host_memory());
  EXPECT_EQ(device.free_bytes(), 1 << 20);
  const auto memory = device.make_allocator();
  try {
    const Buffer buffer(*memory, 2 << 20);
    FAIL() << "more memory than the device has";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDoesNotFit);
    EXPECT_EQ(error.message(), "cudaMalloc of 2097152 bytes: out of memory");
  }
  EXPECT_EQ(memory->stats().current_bytes, 0);
  EXPECT_THROW(CudaDevice(1), Error);
}

// What an operation leaves in its outputs, by the device that the environment names.
using Program = std::function<std::vector<std::byte>(CpuContext&)>;

std::vector<std::byte> run_on(const char* device, const Program& run) {
  setenv("ATHANOR_TEST_DEVICE", device, 1);
  CpuContext context;
  EXPECT_EQ(context.device != nullptr, std::string(device) == "cuda");
  std::vector<std::byte> bytes = run(context);
  unsetenv("ATHANOR_TEST_DEVICE");
  return bytes;
}

template <class... Outputs>
std::vector<std::byte> bytes_of(const Outputs&... outputs) {
  std::vector<std::byte> all;
  (append(all, outputs.bytes()), ...);
  return all;
}

std::vector<std::byte> norms(CpuContext& context) {
  const int64_t rows = 70;
  const int64_t columns = 2100;  // three blocks of the sums, two chunks of rows
  const auto make = [&](Shape shape, uint64_t seed) {
    Owned tensor(context, DType::kBF16, shape);
    tensor.fill_random(seed);
    return tensor;
  };
  Owned x = make({rows, columns}, 1);
  Owned weight = make({columns}, 2);
  Owned dy = make({rows, columns}, 3);
  Owned dx = make({rows, columns}, 4);
  Owned y(context, DType::kBF16, {rows, columns});
  Owned rstd(context, DType::kF32, {rows});
  Owned dweight(context, DType::kF32, {columns});
  dweight.fill_random(5);
  Owned workspace(context, DType::kF32, {rms_norm_backward_workspace(rows, columns)});
  rms_norm_forward(y, rstd, x, weight, 1e-6, 1.0f, context.stream);
  rms_norm_backward(dx, dweight, dy, x, rstd, weight, 1.0f, workspace, context.stream);
  return bytes_of(y, rstd, dx, dweight);
}

std::vector<std::byte> gates_and_losses(CpuContext& context) {
  Owned gate(context, DType::kF32, {5, 3001});
  Owned up(context, DType::kF32, {5, 3001});
  Owned y(context, DType::kF32, {5, 3001});
  gate.fill_random(1, 9.0f);
  up.fill_random(2);
  swiglu_forward(y, gate, up, GateFunction::kGeluTanh, context.stream);
  Owned loss(context, DType::kF32, {5});
  Owned gradient(context, DType::kBF16, {5, 3001});
  StepScalars scalars;
  scalars.loss_scale = 1.0 / 37.0;
  const std::vector<int32_t> targets = {0, 3000, 17, 1024, 2};
  soft_cap_logits(gate, 5.0f, context.stream);
  cross_entropy(loss, gradient, gate, int_tensor(context, targets), 5.0f, context.put(scalars),
                context.stream);
  return bytes_of(y, gate, loss, gradient);
}

std::vector<std::byte> state_arithmetic(CpuContext& context) {
  const int64_t n = 5003;
  Owned master(context, DType::kF32, {n});
  Owned m(context, DType::kF32, {n});
  Owned v(context, DType::kF32, {n});
  Owned grad(context, DType::kF32, {n});
  Owned working(context, DType::kBF16, {n});
  Owned sums(context, DType::kI64, {(n + 1023) / 1024});  // 8 bytes each: float64
  master.fill_random(1);
  m.fill_random(2, 0.01f);
  for (int64_t i = 0; i < n; ++i) v.set(i, static_cast<float>(i) * 1e-9f);
  for (int step = 1; step <= 3; ++step) {
    grad.fill_random(static_cast<uint64_t>(10 + step), step == 2 ? 1e-20f : 0.3f);
    StepScalars scalars;
    scalars.learning_rate = 1e-3 / step;
    scalars.clip_scale = 0.7;
    scalars.bias_correction1 = 1 - std::pow(0.9, step);
    scalars.bias_correction2 = 1 - std::pow(0.999, step);
    adamw_update(working, master, m, v, grad, AdamWOptions{}, 0.1, context.put(scalars),
                 context.stream);
  }
  block_square_sums(static_cast<double*>(sums.tensor().raw()), grad, context.stream);
  sgd_update(working, master, grad, 0.1, context.put(StepScalars{.learning_rate = 0.01}),
             context.stream);
  return bytes_of(master, m, v, working, sums);
}

TEST(CudaOperations, GiveTheBitsOfTheCpu) {
  fake_cuda::configure({});
  const std::map<std::string, Program> runs = {{"norms", norms},
                                               {"gates and losses", gates_and_losses},
                                               {"state arithmetic", state_arithmetic}};
  for (const auto& [name, run] : runs) {
    EXPECT_TRUE(run_on("cpu", run) == run_on("cuda", run)) << name;
  }
}

}  // namespace
}  // namespace athanor::testing

#include "kernels/optimizer/optimizer.h"

#include "core/pairwise.h"
#include "kernels/backend.h"
#include "kernels/optimizer/cpu.h"
#include "kernels/optimizer/cuda.h"

namespace athanor {
namespace {

void check_flat(const char* operation, const char* name, const ConstTensor& tensor, int64_t n) {
  expect_shape(operation, name, tensor, Shape{n});
  expect_dtype(operation, name, tensor, DType::kF32);
}

// The working copy's dtype; float32 where there is none.
DType check_working(const char* operation, const ConstTensor& working, int64_t n) {
  if (!working.defined()) return DType::kF32;
  expect_shape(operation, "working", working, Shape{n});
  return working.dtype();
}

EightBitBlock* check_blocks(const char* operation, const char* name, const Tensor& moment,
                            int64_t n) {
  constexpr int64_t kBytes = sizeof(EightBitBlock);
  expect_shape(operation, name, moment, Shape{(n + kEightBitBlock - 1) / kEightBitBlock, kBytes});
  expect_dtype(operation, name, moment, DType::kU8);
  return static_cast<EightBitBlock*>(moment.raw());
}

template <class W>
W* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<W>() : nullptr;
}

// Submits call(on, working copy or null); the cost without what the working copy is written.
template <class Call>
void submit_update(Cost cost, const Tensor& working, int64_t n, Stream& stream, const Call& call) {
  const DType dtype = check_working(cost.name, working, n);
  if (working.defined()) cost.bytes_written += working.bytes();
  dispatch_float(dtype, cost.name, [&](auto zero) {
    using W = decltype(zero);
    submit(stream, cost, [=](auto& on) { call(on, data_or_null<W>(working)); });
  });
}

}  // namespace

void adamw_update(Tensor working, Tensor master, Tensor m, Tensor v, ConstTensor grad,
                  const AdamWOptions& options, double weight_decay, const StepScalars* scalars,
                  Stream& stream) {
  constexpr const char* kName = "adamw_update";
  const int64_t n = master.dim(0);
  check_flat(kName, "master", master, n);
  check_flat(kName, "m", m, n);
  check_flat(kName, "v", v, n);
  check_flat(kName, "grad", grad, n);
  const Cost cost{kName, 15.0 * static_cast<double>(n), 16 * n, 12 * n};
  submit_update(cost, working, n, stream, [=](auto& on, auto* copy) {
    backend::adamw_update(on, copy, master.data<float>(), m.data<float>(), v.data<float>(),
                          grad.data<float>(), options, weight_decay, scalars, n);
  });
}

void adamw8_update(Tensor working, Tensor master, Tensor m, Tensor v, ConstTensor grad,
                   const AdamWOptions& options, double weight_decay, const StepScalars* scalars,
                   Stream& stream) {
  constexpr const char* kName = "adamw8_update";
  const int64_t n = master.dim(0);
  check_flat(kName, "master", master, n);
  check_flat(kName, "grad", grad, n);
  EightBitBlock* m_blocks = check_blocks(kName, "m", m, n);
  EightBitBlock* v_blocks = check_blocks(kName, "v", v, n);
  const Cost cost{kName, 40.0 * static_cast<double>(n), 10 * n, 6 * n};
  submit_update(cost, working, n, stream, [=](auto& on, auto* copy) {
    backend::adamw8_update(on, copy, master.data<float>(), m_blocks, v_blocks, grad.data<float>(),
                           options, weight_decay, scalars, n);
  });
}

void lion_update(Tensor working, Tensor master, Tensor m, ConstTensor grad,
                 const AdamWOptions& options, double weight_decay, const StepScalars* scalars,
                 Stream& stream) {
  constexpr const char* kName = "lion_update";
  const int64_t n = master.dim(0);
  check_flat(kName, "master", master, n);
  check_flat(kName, "m", m, n);
  check_flat(kName, "grad", grad, n);
  const Cost cost{kName, 9.0 * static_cast<double>(n), 12 * n, 8 * n};
  submit_update(cost, working, n, stream, [=](auto& on, auto* copy) {
    backend::lion_update(on, copy, master.data<float>(), m.data<float>(), grad.data<float>(),
                         options, weight_decay, scalars, n);
  });
}

void sgd_update(Tensor working, Tensor master, ConstTensor grad, double weight_decay,
                const StepScalars* scalars, Stream& stream) {
  constexpr const char* kName = "sgd_update";
  const int64_t n = master.dim(0);
  check_flat(kName, "master", master, n);
  check_flat(kName, "grad", grad, n);
  const Cost cost{kName, 4.0 * static_cast<double>(n), 8 * n, 4 * n};
  submit_update(cost, working, n, stream, [=](auto& on, auto* copy) {
    backend::sgd_update(on, copy, master.data<float>(), grad.data<float>(), weight_decay, scalars,
                        n);
  });
}

void block_square_sums(double* sums, ConstTensor x, Stream& stream) {
  constexpr const char* kName = "block_square_sums";
  const int64_t n = x.dim(0);
  check_flat(kName, "x", x, n);
  const int64_t blocks = (n + kSumBlock - 1) / kSumBlock;
  submit(stream, Cost{kName, 2.0 * static_cast<double>(n), x.bytes(), 8 * blocks},
         [=](auto& on) { backend::block_square_sums(on, sums, x.data<float>(), n); });
}

void tree_add(Tensor y, ConstTensor a, ConstTensor b, Stream& stream) {
  constexpr const char* kName = "tree_add";
  expect_dtype(kName, "a", a, DType::kF32);
  expect_dtype(kName, "b", b, DType::kF32);
  expect_dtype(kName, "y", y, DType::kF32);
  expect_shape(kName, "b", b, a.shape());
  expect_shape(kName, "y", y, a.shape());
  const Cost cost{kName, static_cast<double>(y.numel()), a.bytes() + b.bytes(), y.bytes()};
  submit(stream, cost, [=](auto& on) {
    backend::tree_add(on, y.data<float>(), a.data<float>(), b.data<float>(), y.numel());
  });
}

}  // namespace athanor

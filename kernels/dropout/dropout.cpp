#include "kernels/dropout/dropout.h"

#include <string>

#include "kernels/backend.h"
#include "kernels/dropout/cpu.h"

namespace athanor {
namespace {

constexpr double kFlops = 25;  // of Philox and its use, per element
constexpr int64_t kMaxElements = int64_t{1} << 34;

void check(const char* operation, const ConstTensor& y, const ConstTensor& x,
           const DropoutSite& site) {
  expect_shape(operation, "y", y, x.shape());
  expect_dtype(operation, "y", y, x.dtype());
  ATHANOR_CHECK(site.probability >= 0.0f && site.probability < 1.0f,
                std::string(operation) + ": probability " + std::to_string(site.probability));
  ATHANOR_CHECK(x.numel() <= kMaxElements, std::string(operation) +
                                               ": the counter does not reach " +
                                               std::to_string(x.numel()) + " elements");
}

DropoutMask mask_of(const DropoutSite& site, const StepScalars& scalars) {
  return make_dropout_mask(site.probability, scalars.seed, narrow<uint32_t>(scalars.step),
                           narrow<uint32_t>(site.micro_batch), narrow<uint32_t>(site.site));
}

}  // namespace

void dropout(Tensor y, ConstTensor x, const DropoutSite& site, const StepScalars* scalars,
             Stream& stream) {
  constexpr const char* kName = "dropout";
  check(kName, y, x, site);
  const Cost cost{kName, kFlops * static_cast<double>(x.numel()), x.bytes(), y.bytes()};
  dispatch_float(x.dtype(), kName, [&](auto zero) {
    using T = decltype(zero);
    stream.submit(cost, [=](ExecContext& context) {
      cpu::dropout(context.pool, y.data<T>(), x.data<T>(), mask_of(site, *scalars), x.numel());
    });
  });
}

void dropout_add(Tensor y, ConstTensor x, const DropoutSite& site, const StepScalars* scalars,
                 Stream& stream) {
  constexpr const char* kName = "dropout_add";
  check(kName, y, x, site);
  const Cost cost{kName, (kFlops + 1) * static_cast<double>(x.numel()), x.bytes() + y.bytes(),
                  y.bytes()};
  dispatch_float(x.dtype(), kName, [&](auto zero) {
    using T = decltype(zero);
    stream.submit(cost, [=](ExecContext& context) {
      cpu::dropout_add(context.pool, y.data<T>(), x.data<T>(), mask_of(site, *scalars), x.numel());
    });
  });
}

}  // namespace athanor

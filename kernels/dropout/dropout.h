// Dropout whose mask is a pure function of a key: nothing is stored for the backward pass.
#pragma once

#include <cstdint>

#include "core/stream.h"
#include "core/tensor.h"
#include "kernels/step_scalars.h"

namespace athanor {

// Where a mask belongs. Element e, row-major in the tensor: Philox under a key made of
// scalars->seed, counter (e / 4, scalars->step, micro_batch, site), word e % 4; kept iff its
// uniform is at least `probability`. The exact layout is in kernels/dropout/mask.h.
struct DropoutSite {
  float probability = 0;    // of being dropped, in [0, 1)
  int64_t micro_batch = 0;  // global index within the step
  int64_t site = 0;         // layer and module
};

// y[i] = keep(i) ? x[i] / (1 - p) : 0      y, x: same shape and dtype f32|bf16; y may be x
void dropout(Tensor y, ConstTensor x, const DropoutSite& site, const StepScalars* scalars,
             Stream& stream);
// y[i] += keep(i) ? x[i] / (1 - p) : 0
void dropout_add(Tensor y, ConstTensor x, const DropoutSite& site, const StepScalars* scalars,
                 Stream& stream);

}  // namespace athanor

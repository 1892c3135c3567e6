#include "runtime/train/step_batch.h"

#include "kernels/attention/attention.h"
#include "runtime/data/dataset.h"

namespace athanor {

HostMicroBatch prepare_micro_batch(MicroBatch data) {
  HostMicroBatch batch;
  batch.target_rows.reserve(static_cast<size_t>(data.target_tokens));
  batch.targets.reserve(static_cast<size_t>(data.target_tokens));
  for (size_t i = 0; i < data.targets.size(); ++i) {
    if (data.targets[i] == kNoLoss) continue;
    batch.target_rows.push_back(static_cast<int32_t>(i));
    batch.targets.push_back(data.targets[i]);
  }
  for (size_t s = 0; s + 1 < data.cu_seqlens.size(); ++s) {
    batch.attention_pairs += causal_pairs(data.cu_seqlens[s + 1] - data.cu_seqlens[s]);
  }
  batch.data = std::move(data);
  return batch;
}

HostMicroBatch full_micro_batch(int64_t rows, int64_t length) {
  MicroBatch data;
  for (int64_t row = 0; row < rows; ++row) {
    data.cu_seqlens.push_back(static_cast<int32_t>(row * length));
    for (int64_t i = 0; i < length; ++i) {
      data.input_ids.push_back(0);
      data.targets.push_back(0);
      data.positions.push_back(static_cast<int32_t>(i));
    }
  }
  data.cu_seqlens.push_back(static_cast<int32_t>(rows * length));
  data.target_tokens = rows * length;
  return prepare_micro_batch(std::move(data));
}

}  // namespace athanor
